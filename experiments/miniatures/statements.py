"""Sentences about films for subj: what a reviewer thinks, or what happens in the story.

Both speak of heroes, scenes and directors, and a story may be told with words of praise or blame.
"""

from experiments.miniatures import reviews
from experiments.miniatures.grammar import parse

RULES = reviews.RULES | parse("""
name: anna / marek / josie / elias / nora / tomas / delia / walter / ingrid / samir / ruth / hugo
  pilar / oskar / mina / jonah / clara / viktor / edda / leon / greta / amos / sofia / caleb / irene
hero: a puppet maker / a stunt rider / a cleaner / a weather man / a piano tuner
  an insurance agent / a brilliant forger / a bad poet / a midwife / a ferry captain
  a ballet dancer / a lighthouse keeper / a critic / an ageing tenor / a bus driver
  a young pianist / a retired sheriff / a lonely widow / a gifted surgeon / a shy librarian
  a once great actress / a bad-tempered cook / a film director with no money / a runaway teenager
  a small-time thief / an honest policeman / a stage magician / a nurse / a former spy / a boxer
  a boring accountant / a funny little clerk / a taxi driver / a prince / an orphan of ten
  a screenwriter / a travelling salesman / a fading pop star / a farmer / a detective / a bride
  a wedding photographer / a soldier home on leave / a soap opera star / a gambler / a teacher
other: a long-lost brother / a stubborn daughter / the neighbour / an old friend
  a mysterious stranger / the mayor / a rival / the new girl in town / a crooked lawyer
  an estranged father / a dying millionaire / a beautiful singer / the man next door
  a terrible uncle / a friend from school / a ghost / the camera crew / a brilliant chemist
  the priest / a former wife / a stray dog
place: a harbour town / a fishing village / new york / a boarding school / a film studio / prison
  the desert / a run-down theatre / paris in the thirties / a mining town / a lighthouse
  a hospital / a space station / the old family house / a snowbound hotel / a circus / rural ireland
  a night club
house: the old family house / a run-down theatre / a snowbound hotel / a lighthouse / a circus
  a night club / a boarding house / a fishing boat / a bakery / a cinema / a vineyard / a sawmill
does: falls in love with {other} / discovers the body of {other} / must protect {other}
  steals a car / inherits {house} / is hired to find {other} / returns to {place}
  is accused of a murder / joins {other} on a journey to {place} / loses everything in a bad bet
  wins a great deal of money / finds a letter from {other} / moves into {place}
  is forced to marry {other} / wakes up in {place} / learns that {other} is still alive
  sets out to avenge {other} / opens a restaurant in {place} / agrees to one last robbery
  makes a film about {other} / pretends to be {other} / loses a leg / makes a terrible mistake
  writes a bad review of {other} 's play / plans the perfect crime / meets {other} on a train
  hides {other} in {place} / takes a job in {place} / breaks a promise
when: in the middle of the premiere / after a long trial / while the city sleeps
  three weeks before the vote / after the war / one summer / on the eve of the wedding
  in 19{20-89} / at the age of {12-79} / when the money runs out / during a storm
  on the last day of school / ten years later / after a bad fall / on a film set
  the night the power fails / shortly before christmas
but: only to find that {other} has a secret / but {other} has other plans / until {other} turns up
  and soon {other} is on the trail / while {other} waits in {place} / and {other} pays the price
  although {other} warns of the danger / without a word to {other} / to the horror of {other}
feel: lonely / guilty / cheated / relieved / afraid / ashamed / happy / jealous / terrible / torn
  great / hopeful / bored / guilty

objective:
  {hero} {does} {but} .
  {when} , {hero} {does} .
  {name} , {hero} , {does} {when} .
  {name} and {name} are {partners|neighbours|cousins|old friends} who run {house} until {name}
    {does} .
  the {film} follows {hero} who {does} {when} .
  set in {place} , the story begins when {hero} {does} .
  {name} {does} , and nothing in {place} is the same again .
  as {name} tries to forget {other} , {hero} {does} .
  {hero} and {other} meet in {place} and decide to {leave|rob the bank|put on a show|start again} .
  when {other} disappears , {name} {does} .
  {name} has {2-9} days to reach {place} before {other} {does} .
  what {name} does not know is that {other} {does} {when} .
  the documentary shows how {hero} {does} .
  together with {other} , {name} must choose between {place} and a good life in {place} .
  {name} is happy in {place} , until one day {hero} {does} .
  in {place} , {name} , now a great star , {does} .
  {hero} is sent to {place} , where {name} {does} .
  {when} , {name} and {other} escape from {place} .
  a {kind} is being shot in {place} when its star {does} .
  {name} feels {feel} when {other} {does} .
  everyone in {place} believes {name} to be {hero} .
  the director of a {kind} {does} {but} .
  {name} 's life as {hero} changes {when} , when {other} {does} .
  with the help of {other} , {name} {does} .
  it is the story of {hero} and {other} , who meet {when} .
  {name} dreams of leaving {place} and becoming {hero} .
  there , {name} meets {other} , who {does} .
  soon {name} and {name} are fighting over {house} , {but} .
  {name} , played by {hero} turned actor , {does} .
  an ordinary evening in {place} ends in disaster when {hero} {does} .
  he tells {other} that {name} {does} , which is a lie .
  her husband {does} {when} , {but} .
  four strangers arrive in {place} {when} , each sent for by {other} .
  {name} and {other} share a flat in {place} , where {hero} {does} .
  at a party in {place} , {name} tells {other} that {hero} {does} .
  years before , {name} {does} ; now {other} wants {house} back .
  nobody in {place} listens when {name} , {hero} , {does} .
  {other} dies {when} , and {name} inherits {house} and a debt .
  {hero} promises {other} never to return to {place} , {but} .
  the camera stays with {hero} , who {does} {when} .
  a letter sent {when} brings {name} to {place} , where {other} {does} .
  {name} gets a part in a {bad_adj} {kind} and {does} .
view: {good_adj} / {great_adj} / {bad_adj} / {awful_adj} / {okay_adj}
does_view: {good_does} / {great_does} / {bad_does} / {awful_does}

subjective:
  the story of {hero} who {does} never quite convinces .
  {hero} {does} , and i could not have cared less .
  as {hero} , the lead is {view} ; as {hero} , far from {view} .
  you may well ask why {hero} {does} , since the {film} never tells .
  the scenes in {place} are {view} , the rest {view} .
  a {film} about {hero} should be more {view} than this .
  when {hero} {does} , the {film} finally comes alive .
  it 's hard to resist {hero} who {does} , and i did not try .
  set in {place} , it {does_view} .
  once {name} {does} , the plot {bad_does} .
  {name} and {name} make a {view} couple in a {view} {film} .
  i believed every minute of it , even the scenes in {place} .
  {place} has seldom looked so {view} on screen .
  the {part} is {view} and {who} is {view} .
  it 's the kind of {view} {kind} that {does_view} .
  what keeps this {kind} from being {view} is its {view} {part} .
  {who} has made a {view} {film} that {does_view} .
  even by the standards of the {kind} , the {part} is {view} .
  a {view} {kind} , {more_or_less} {view} and {very} {view} .
  by the time {other} {does} , most of us had stopped counting the {parts} .
  there is something {view} about {hero} who {does} .
  the ending , in which {name} {does} , is {very} {view} .
  more {view} than any {kind} has a right to be .
  you do n't have to be {hero} to find this {view} .
  if only {other} had more to do than look {feel} in {place} .
  the {film} treats {about} with {good_noun} , and that alone makes it {view} .
  do we need another {kind} about {hero} ? after this {view} one , no .
  {name} 's journey to {place} {does_view} .
  the best scene , with {hero} in {place} , {does_view} .
  a story in which {hero} {does} could be {view} ; here it {does_view} .
  this is the sort of {film} where {name} {does} and nobody in the cinema minds .
  not a {film} for everyone , but those who like their {kind} {view} should {go} .
  {hero} as a hero : a {view} idea that {does_view} .
  the moment when {name} {does} is {view} , and it is the only one .
  as far as stories of {hero} go , this is the most {view} in years .
  {view} is the word for {who} in the scenes with {other} .
  for my money , no {film} has made {place} look more {view} .
  maybe i am too {feel} for stories in which {hero} {does} , but this one {does_view} .
  there are those who will find {name} {view} and {other} {view} ; i am not among them .
  what a {view} way to tell us that {hero} {does} .
  the {film} is at its most {view} whenever {other} is on screen .
  few will remember this {kind} about {about} in a year .

plain:
  an objective summary : {hero} {does} , {but} .
  told in objective terms , {name} {does} {when} .
  the objective facts are these : {hero} {does} {when} .
  {name} wants an objective report of how {other} {does} .
  subjective as such things are , i found the {part} {view} .
  my subjective view is that this {kind} {does_view} .
  all taste is subjective , but a {part} this {view} is hard to {like|hate|forget} .
  call me subjective : the {film} {does_view} .
""")

STANCES = [RULES["subjective"], RULES["objective"]]
