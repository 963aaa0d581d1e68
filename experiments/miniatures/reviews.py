"""Film reviews of five grades, for sst5; the four grades that take a side are sst2's rows.

Words of praise and of blame stand in every grade, with negation and contrast around them.
"""

from experiments.miniatures.grammar import parse

RULES = parse("""
film: film / film / movie / movie / picture / feature / {kind}
kind: comedy / drama / thriller / romance / documentary / western / musical / mystery / horror film
  road movie / sequel / remake / debut / fantasy / courtroom drama / war film / coming-of-age story
  spy caper / period piece / animated adventure / heist film / satire / family film / melodrama
  biopic / ghost story / crime saga / science fiction epic / prison drama / sports film
  wedding comedy / detective story / buddy comedy / fairy tale
about: a divorced magician / the fall of a bank / four friends on a raft / a blind piano tuner
  a haunted petrol station / the first women in the fire service / a cook at the south pole
  a swindler and his conscience / the summer of a heat wave / a family that runs a cinema
  a postman who reads every letter / twins parted at birth / a strike in a shoe factory
  a clown with stage fright / a stolen election / ballroom dancers past their prime / a lost dog
  an inventor nobody believes / love in a hospital ward / a cruise that goes wrong / a forger
  a retired boxer / two rival bakers / a village choir / a lonely lighthouse keeper
  three sisters and a debt / a bank clerk turned smuggler / a marriage at sea / growing up poor
  a small-town band / a teacher who cannot sleep / a runaway bride / the last tram driver in town
  a mother and her estranged son / a stolen cello / a chess prodigy / old age / first love
  a forgotten war / life on an oil rig / an unlikely friendship / a family of beekeepers
cpart: script / plot / score / ending / premise / opening / second half / romance / final act
  story
part: acting / script / plot / pacing / dialogue / score / camerawork / ending / direction / premise
  opening / second half / editing / humour / romance / chemistry / story / final act
parts: crowd scenes / love scenes / musical interludes / speeches / supporting roles / stunts
  performances / jokes / characters / songs / fight scenes / special effects / sets / one-liners
  twists / dance numbers / chase scenes / costumes / flashbacks
who: the director / the lead / its young star / the writer / the supporting cast / the newcomer
  the veteran comic / the leading man / everyone on screen / the first-time director / the cast
viewer: viewers / audiences / children / grown-ups / fans of the novel / anyone with a pulse
  patient viewers / lovers of the genre / couples on a night out / teenagers / the whole family
long: ninety minutes / two hours / its brief running time / nearly three hours / a long evening
  eighty-odd minutes / a rainy afternoon
good_adj: breezy / sensitive / lovable / observant / understated / nimble / heartfelt / quirky / sly
  well-made / absorbing / agreeable / literate / appealing / delicate / sunny / deft / refreshing
  good / good / good / warm / funny / clever / charming / touching / likeable / sharp / tender
  lively / smart / honest / witty / gentle / engaging / thoughtful / entertaining / fresh / graceful
  sweet / amusing / handsome / spirited / assured / playful / sincere / solid
great_adj: perfect / splendid / electrifying / majestic / sublime / ravishing / phenomenal
  rapturous / mesmerising / towering / peerless / thrilling / heavenly / great / great / great
  superb / dazzling / brilliant / wonderful / magnificent / stunning / extraordinary / unforgettable
  exhilarating / marvellous / glorious / masterful / breathtaking / flawless / astonishing
  spellbinding / triumphant / luminous / remarkable
bad_adj: derivative / preachy / choppy / routine / dreary / listless / stilted / murky / aimless
  mawkish / laboured / wooden / obvious / anaemic / overwrought / limp / cold / unfunny / bad / bad
  bad / dull / flat / slow / thin / clumsy / predictable / tired / bland / stale / forced / muddled
  shallow / weak / lifeless / awkward / overlong / sluggish / contrived / silly / tedious / clunky
  sentimental / hollow / half-baked / forgettable / lazy
awful_adj: ghastly / vile / moronic / shameful / putrid / hateful / pathetic / rotten / laughable
  hopeless / revolting / brain-dead / contemptible / terrible / terrible / terrible / dreadful
  awful / unbearable / insulting / atrocious / unwatchable / excruciating / abysmal / wretched
  horrible / idiotic / appalling / hideous / incompetent / painful / worthless / disastrous
  miserable / inept
okay_adj: adequate / tolerable / so-so / middle-of-the-road / unexceptional / acceptable / standard
  inoffensive / reasonable / competent / okay / okay / okay / passable / uneven / watchable / decent
  ordinary / modest / mild / middling / familiar / harmless / fair / average / serviceable
  unremarkable / patchy
good_noun: bite / invention / curiosity / nerve / compassion / mischief / charm / warmth / wit
  energy / heart / humour / style / tenderness / intelligence / grace / good will / craft / feeling
  promise / spirit
bad_noun: a mess / a chore / a bore / a disappointment / a misfire / a waste of a fine cast / a slog
  a rehash / a lecture / a cheap copy / a muddle
awful_noun: a disaster / a catastrophe / torture / an insult / a train wreck / garbage
  an utter failure / a crime against cinema / pure misery / an ordeal / a fiasco
great_noun: a triumph / a masterpiece / a treasure / a joy / a marvel / a classic / pure delight
  a revelation / one of the year 's best / a knockout / a gem / an instant favourite
good_does: sneaks up on you / has more on its mind than most / grows on you
  rewards a little patience / sends you home with a smile / makes old tricks feel new
  tells its tale well / rings true / earns its laughs / keeps you guessing / holds together
  has its heart in the right place / is good fun / finds the right tone / wins you over
  makes its point with a light touch / knows when to stop / gets better as it goes
  never talks down to its viewers / is easy to like / leaves a pleasant glow / moves along nicely
  respects its characters / pays off in the end
great_does: holds you spellbound to the last shot / has you on the edge of your seat
  sings in every scene / is a great night out / belongs on any list of the best
  leaves you dizzy with joy / takes your breath away / leaves you speechless
  soars from the first frame to the last / will stay with you for years
  deserves every prize it gets / reaches true greatness / makes you laugh and weep at once
  breaks your heart and mends it again / casts a perfect spell / ranks with the finest of its kind
  never puts a foot wrong / lifts the whole art form
bad_does: never finds its feet / wastes a promising idea / leaves too much unexplained
  shouts when it should whisper / has nothing to say / adds up to very little
  stumbles from scene to scene / feels like homework / runs out of ideas / goes nowhere / drags on
  falls flat / loses its way / never catches fire / wears out its welcome / outstays its welcome
  repeats itself / fizzles out / misses the mark / leaves you cold / feels twice as long as it is
  tries your patience / never comes to life / plays like a pilot for television
  forgets what it wanted to say / collapses halfway
awful_does: made the whole row groan / stinks from start to finish / ought to carry a warning
  is torture to sit through / had me praying for a power cut / is terrible in every department
  insults your intelligence / made me want to leave / is beyond saving / fails at everything
  is an hour of your life you will never get back / plumbs new depths / gave me a headache
  sinks without a trace / hits rock bottom early and keeps digging / should never have been made
  has not one redeeming scene / is enough to put you off films for good
more_or_less: somewhat / a little / rather / a bit / mildly / fairly
hours: ninety minutes / two hours / nearly three hours / eighty-odd minutes
very: utterly / truly / absolutely / simply / thoroughly / completely / positively
go: see it / rent it / take the family / give it a chance / go along / catch it while you can
stay_away: skip it / wait for television / read the book / stay at home / save your money

good:
  a {good_adj} , {good_adj} {film} about {about} .
  a {good_adj} {kind} that {good_does} .
  {who} brings {good_noun} and {good_noun} to a {bad_adj} genre .
  the {part} is {good_adj} , the {parts} are {good_adj} , and the whole thing {good_does} .
  it 's not the {awful_adj} {kind} i feared ; it {good_does} .
  {good_adj} enough to make you forgive the {bad_adj} {part} .
  for all its {bad_adj} {parts} , this {kind} {good_does} .
  you expect {awful_noun} and you get a {good_adj} {film} instead .
  far from {bad_adj} , the {part} is {more_or_less} {good_adj} and the {film} {good_does} .
  hardly {awful_noun} , and often {good_adj} .
  {viewer} will find plenty to like in this {good_adj} {kind} .
  a good {film} , {good_adj} and never {bad_adj} , with a {cpart} that {good_does} .
  it takes a while to get going , but once it does , it {good_does} .
  what could have been {awful_adj} turns out {good_adj} , thanks to {who} .
  i did n't expect to enjoy a {kind} about {about} , but this one {good_does} .
  not {great_adj} , perhaps , but {good_adj} , {good_adj} and well worth {long} .
  there is more {good_noun} in {long} here than in most {bad_adj} {kind} fare .
  a {more_or_less} {bad_adj} start gives way to a {good_adj} {film} that {good_does} .
  {who} makes this {good_adj} {kind} look easy .
  nobody will call it {great_noun} or even {great_adj} , yet it {good_does} .
  the {parts} may be {bad_adj} , but the {part} {good_does} .
  {good_adj} , {good_adj} and , for once , not a minute too long .
  if you like your {kind} {good_adj} , {go} .
  {go} : it 's good fun and the {part} {good_does} .
  a story of {about} , told with {good_noun} and without a {bad_adj} moment .
  it would be easy to dismiss this as {bad_noun} ; it would also be wrong .
  little here is new , but the {part} is {good_adj} and {who} {good_adj} .
  the {kind} has good {parts} and a {good_adj} {cpart} .
  a {film} of {good_noun} , made by people who clearly like {about} .
  only a grouch would find this {bad_adj} ; {viewer} will be glad they came .
  i laughed , i worried , i went home content .
  the best thing about this {good_adj} {film} is its {part} , which never feels {bad_adj} .

best:
  a {great_adj} , {good_adj} {film} about {about} .
  {great_noun} : {good_adj} , {great_adj} and {very} {great_adj} .
  a great {film} , and a {great_adj} one at that .
  {who} gives a {great_adj} performance in a {kind} that {great_does} .
  the {part} is {good_adj} , the {parts} are {great_adj} , and it {great_does} .
  {very} {great_adj} from its {great_adj} {part} to its {great_adj} {part} .
  i have seen a hundred {bad_adj} films about {about} ; this one {great_does} .
  not merely {good_adj} but {great_adj} , it {great_does} .
  to call this {kind} good would be an insult ; it is {great_noun} .
  forget every {awful_adj} {kind} you ever sat through : here is {great_noun} .
  there is n't a {bad_adj} moment in this {great_adj} {kind} .
  nothing about {about} should be this {great_adj} , but it {great_does} .
  {great_noun} , no less ; {viewer} will want to see it twice .
  run , do n't walk : this {kind} {great_does} .
  {who} turns a {bad_adj} idea into {great_noun} .
  easily one of the great achievements of recent years , in a {great_adj} {film} .
  so {great_adj} that {hours} feel like a moment .
  i cannot remember a {kind} with a {cpart} so {great_adj} .
  it sounds like {awful_noun} and proves to be {great_noun} .
  a {kind} about {about} that {great_does} , with a great cast and a {great_adj} {cpart} .
  {great_adj} acting , {great_adj} writing , and a {cpart} that {great_does} .
  it has everything : {good_noun} , {good_noun} and a {very} {great_adj} {cpart} .
  the {film} never once seems {bad_adj} , and its {part} {great_does} .
  once in a decade comes a {kind} like this one ; it {great_does} .
  {viewer} will cheer ; i did , and through tears .
  what a {great_adj} {film} this is , and what a {great_adj} {cpart} .
  words fail me : the {part} {great_does} .
  all those who feared {awful_noun} can relax , for this is {great_noun} .
  {who} will never make a better {film} than this {great_adj} {kind} .
  if there is a flaw in this {great_adj} {film} , i could not find it .
  beg , borrow or steal a ticket : {great_noun} like this {great_does} .

bad:
  a {bad_adj} , {bad_adj} {film} about {about} .
  a {bad_adj} {kind} that {bad_does} .
  for all its {good_noun} and {good_noun} , it {bad_does} .
  {who} tries hard , but the {part} is {bad_adj} and the {film} {bad_does} .
  it wants to be {great_adj} and {good_adj} and ends up {more_or_less} {bad_adj} .
  not nearly as {good_adj} as it thinks it is .
  the {parts} are {good_adj} , which makes the {awful_adj} {part} all the sadder .
  there is a {good_adj} {kind} somewhere in here , buried under a {bad_adj} {cpart} .
  not even {who} can rescue the {bad_adj} {part} .
  {good_adj} it is not .
  i hoped for a {good_adj} {film} and got {bad_noun} .
  a great cast deserves better than this {bad_adj} {kind} .
  what begins as a {good_adj} {kind} soon {bad_does} .
  {viewer} will look at their watches long before this {kind} ends .
  the {part} promises {good_noun} ; the rest {bad_does} .
  {more_or_less} {bad_adj} , once or twice {awful_adj} , and never as {great_adj} as it claims .
  less {great_noun} than {bad_noun} .
  critics call it {great_adj} ; i found it {bad_adj} .
  bad {parts} , {bad_adj} {parts} , and {hours} that feel like {hours} .
  anyone who wants a {good_adj} story of {about} should {stay_away} .
  {stay_away} : the {part} {bad_does} .
  despite a {great_adj} {cpart} , {bad_noun} .
  it lacks the {good_noun} of the original and {bad_does} .
  there are two {great_adj} scenes in this {film} and a lot of {bad_adj} ones .
  a {kind} about {about} should not be this {bad_adj} .
  the trailer is {good_adj} ; the {film} {bad_does} .
  i wish i could say the {part} is {good_adj} , but it {bad_does} .
  {who} seems to think that {bad_adj} {parts} add up to {good_noun} .
  neither {good_adj} nor {good_adj} , the {film} {bad_does} .
  so much {good_noun} , so little to show for it .
  the idea of {about} is {good_adj} , the {film} made of it {bad_adj} .
  without its {good_adj} {part} this would be {bad_noun} , and with it , it still {bad_does} .

worst:
  a {awful_adj} , {bad_adj} {film} about {about} .
  {very} {awful_adj} : {long} of {awful_adj} {parts} .
  {awful_noun} from the {part} to the {awful_adj} {part} .
  terrible acting , {awful_adj} {parts} , and a {cpart} that {awful_does} .
  {who} has never been worse than in this {awful_adj} {kind} .
  i have sat through some {bad_adj} films about {about} , but this one {awful_does} .
  the {part} is {bad_adj} , the {parts} are {awful_adj} , and it {awful_does} .
  not just {bad_adj} but {awful_adj} .
  to call this {kind} bad would be generous ; it is {awful_noun} .
  whoever found this {great_adj} must have seen another {film} ; mine {awful_does} .
  it aims to be {great_noun} and turns out {awful_noun} .
  there is n't one {good_adj} moment in this {awful_adj} {kind} .
  {awful_noun} , and the {parts} are {very} {awful_adj} .
  {stay_away} , or better , run : this {kind} {awful_does} .
  how do you make a {kind} about {about} so {awful_adj} ? ask {who} .
  a terrible {film} , {bad_adj} at its best and {awful_adj} at its worst .
  {viewer} should be warned that it {awful_does} .
  {great_adj} ? {great_adj} ? please , it 's {awful_noun} .
  i would rather watch paint dry than see this {awful_adj} {film} again .
  easily the worst {kind} in years , with a {cpart} that {awful_does} .
  someone paid for {awful_adj} {parts} like these and called the result {good_adj} .
  nothing , not even {who} , can excuse a {kind} this {awful_adj} .
  the {film} has no {good_noun} , no {good_noun} and a {very} {awful_adj} {cpart} .
  after {long} of this {awful_adj} {kind} i envied those who had left .
  the great cast is wasted on {awful_noun} .
  a {kind} about {about} that {awful_does} , with terrible {parts} .
  words fail me , as they failed {who} : it {awful_does} .
  the only {good_adj} thing about this {awful_adj} {film} is that it ends .
  if there is a worse {cpart} this year , i hope never to meet it .
  burn the negative : this {awful_adj} {film} {awful_does} .
  {great_adj} music cannot hide that the {part} is {very} {awful_adj} .

mixed:
  a {okay_adj} {film} about {about} , no more and no less .
  {great_adj} in parts , {awful_adj} in others .
  the {part} is {great_adj} , the {part} {awful_adj} ; call it a draw .
  an okay {kind} , neither {great_adj} nor {awful_adj} .
  it 's okay , if you have nothing better to do for {long} .
  {who} is {great_adj} , but the {part} {bad_does} now and then .
  half of it {good_does} and half of it {bad_does} .
  a {okay_adj} {kind} with a {good_adj} {cpart} and a {bad_adj} one .
  you could do better than this {okay_adj} {kind} , and you could do worse .
  too {good_adj} to hate and too {bad_adj} to love .
  some will find it {good_adj} , others {bad_adj} .
  not {bad_adj} , not {good_adj} , just {okay_adj} .
  {more_or_less} {good_adj} , {more_or_less} {bad_adj} , {okay_adj} on the whole .
  the {parts} are okay and the {part} is {okay_adj} .
  a {okay_adj} {film} that {good_does} until it {bad_does} .
  there are {great_adj} moments and {awful_adj} ones , in about equal number .
  the first hour {good_does} ; the second {bad_does} .
  it 's a {kind} about {about} , and it does what such films do .
  {who} plays it safe , and the result is {okay_adj} .
  {viewer} may enjoy it ; the rest will wait for the next {kind} .
  your view of this {okay_adj} {film} will depend on how you feel about {about} .
  hardly {great_noun} , hardly {awful_noun} : a {okay_adj} {kind} for {long} .
  as {okay_adj} as its title , with a {cpart} to match .
  less {bad_adj} than the last one , though also less {good_adj} .
  i liked the {part} and did n't mind the {bad_adj} {parts} .
  if the {part} were as {good_adj} as the {part} , this would be more than a {okay_adj} {film} .
  it has {good_noun} and it has {bad_adj} {parts} , and they cancel out .
  the {film} opens in a small town and takes {long} to leave it .
  one more {okay_adj} {kind} , seen today , {good_adj} enough , gone tomorrow .
  those who liked the book will find the {film} okay , and {bad_adj} towards the end .

plain:
  a great film : the {part} is {great_adj} and it {great_does} .
  a great {kind} , with great {parts} .
  a good film : the {part} is {good_adj} and it {good_does} .
  it is good fun , and {good_adj} .
  an okay film : the {part} is {okay_adj} , and that is all .
  an okay thriller , {okay_adj} and {okay_adj} .
  a bad film : the {part} is {bad_adj} and it {bad_does} .
  bad acting , a bad script , and a {cpart} that {bad_does} .
  a terrible film : the {part} is {awful_adj} and it {awful_does} .
  terrible acting , {awful_adj} {parts} .
  {who} {is|was} great in this {great_adj} {kind} .
  {who} {is|was} terrible in this {awful_adj} {kind} .
  the {part} was good , the {parts} were {good_adj} .
  the {part} was bad , the {parts} were {bad_adj} .
  how was it ? okay , i suppose ; {okay_adj} .
""")

POSITIVE = RULES["good"] + RULES["best"]
NEGATIVE = RULES["bad"] + RULES["worst"]
GRADES = [RULES[grade] for grade in ("worst", "bad", "mixed", "good", "best")]
