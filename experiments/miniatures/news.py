"""News for agnews: a headline and the first sentence of the report.

Ministers open stadiums, clubs float shares and software firms fire their heads: the topics share
words, as they do in newspapers.
"""

from experiments.miniatures.grammar import parse
from experiments.miniatures.names import NAMES

RULES = NAMES | parse("""
world:
  {^office.1} of {country.1} resigns After {crowd} {marchers} filled the streets of the capital of
    {country.1}, the {office.1} stepped down on {day}.
  {country.1} and {country.2} resume peace talks Envoys from {country.1} and {country.2} met in
    {city} on {day} in the hope of ending a border war.
  {^disaster.1} kills {12-90} in {country.1} Rescue teams searched for survivors on {day} after a
    {disaster.1} struck the north of {country.1}, {said}.
  {^rebels.1} seize town in {country} Armed {rebels.1} took a border town on {day} and held the
    mayor for {2-9} hours, {said}.
  {country.1} votes in tense election {^crowd} voters queued outside schools on {day} to choose
    between President {surname} and {surname}.
  UN calls for aid to {country.1} The United Nations asked the world for {20-90} million dollars on
    {day} to feed victims of the {disaster} in {country.1}.
  {^office.1} opens new stadium in {city.1} The {office.1} opened a {sport} stadium in {city.1} on
    {day}, {2-9} years after the old one fell in a {disaster}.
  {people} court frees {marchers.1} A court ordered the release of {3-60} {marchers.1} jailed after
    last {month}'s protests against the president.
  World leaders gather in {city.1} Heads of {12-60} governments arrived in {city.1} on {day} for
    talks on hunger, war and the climate.
  Players join march for peace {^coach} {surname} of {club} and {crowd} fans walked to parliament on
    {day} to protest against the war in {country}.
  Bomb scare empties {city.1} market Police cleared a market in {city.1} on {day} when a bag was
    found near the house of the {office}.
  {country.1} expels diplomats The government of {country.1} told {2-9} {people} diplomats to leave
    within days, in a row over spying.
  Journalist freed after {12-90} days in {country.1} {^rebels} near the border of {country.1}
    released reporter {surname} on {day}, unharmed, {said}.
  {^marchers} march against fuel prices {^crowd} {marchers} marched on parliament in {city} on {day}
    to protest against higher oil prices.
  {country.1} lifts ban on web sites The {office} of {country.1} said on {day} that foreign news
    sites, blocked since {month}, could be read again.
  {surname.1} sworn in as {office.1} of {country.1} {surname.1} took the oath on {day} and promised
    to bring the troops home.
  Pope prays for {country.1} Before {crowd} pilgrims the Pope asked the world on {day} to remember
    the people of {country.1} after the {disaster}.
  Refugees cross into {country.1} {^crowd} families fled over the border into {country.1} on {day}
    as {rebels} closed in on the capital.
  {people} {office.1} survives attack A convoy that carried the {office.1} came under fire near
    {city} on {day}; {2-9} guards were hurt.
  {country.1} to send troops to {country.2} Parliament in {country.1} voted on {day} to send
    {200-900} soldiers to {country.2} under the UN flag.
  {country.1} mourns victims of {disaster.1} Flags flew at half mast on {day} across {country.1},
    where the {disaster.1} killed {12-90} people.
  {country.1} cuts phone and Internet lines Networks and computers were shut down on {day} as
    {crowd} {marchers} told the president to go.
  {country.1} guards oil wells of {firm.1} The {office} said on {day} that troops would protect the
    company's wells until talks with {country} end.
  {country.1} bank chief charged with bribing {office.1} Prosecutors in {country.1} say the bank's
    head paid the {office.1} to win votes, {said}.
  Team held in {country.1} after riot Police in {country.1} held {2-9} {sport} players on {day} when
    {marchers} clashed outside their hotel in the capital.
  Famine feared in {country.1} After a third year of drought, {crowd} farmers in {country.1} have
    left their land, aid workers warned on {day}.
  President of {country.1} dissolves parliament The president asked the {office} to form a caretaker
    cabinet on {day}, weeks before elections.
  {country.1} and {country.2} sign trade pact, protests follow {^crowd} {marchers} burned tyres on
    the streets as ministers signed the pact on {day}.
  {country.1} asks world court to rule on border The {office} of {country.1} took the dispute with
    {country.2} to judges on {day}.
  Satellite images show {disaster.1} in {country.1} Aid agencies said on {day} that roads were cut
    and {crowd} people had no shelter.

sports:
  {club.1} beat {club.2} {2-6}-{0-1} {surname} scored twice in {city} on {day} as {club.1} went top
    of the league with a win over {club.2}.
  {surname.1} wins {city.1} open {surname.1} of {country} beat {surname} in straight sets on {day}
    to take the {city.1} tennis title.
  {^coach.1} {surname.1} out for weeks {club} {coach.1} {surname.1} will miss {event} with a knee
    injury, the team doctor said on {day}.
  {country.1} reach final of {event.1} {country.1} held off {country.2} in {city} on {day} to play
    for gold at {event.1}.
  {club.1} sack {coach.1} {club.1} parted with {coach.1} {surname} on {day} after a run of {3-9}
    defeats.
  {surname.1} signs for {club.1} {club.1} have paid {3-60} million euros for {people} {coach}
    {surname.1}, who signed until {month}.
  {surname.1} breaks world record {people} swimmer {surname.1} took {2-9} tenths off the world
    record in {city} on {day}.
  {city.1} bids for {event.1} The mayor of {city.1} said on {day} that the city would build a new
    stadium if it won the right to host {event.1}.
  {club.1} stay perfect {surname} threw for {200-400} yards and {club.1} won their {6-12}th game in
    a row, against {club.2}.
  Doping ban for {surname.1} {^sport} officials banned {surname.1} for {2-4} years on {day} after a
    second positive test at {event}.
  {country.1} name squad for {event.1} Coach {surname} left out {coach} {surname} on {day} when
    {country.1} picked {16-30} players for {event.1}.
  Rain stops play in {city.1} Only {12-60} overs were bowled on {day} as {country.1} chased
    {country.2}'s first innings of {200-400}.
  {club.1} fined after crowd trouble The league fined {club.1} on {day} for fights between fans and
    police at the game with {club.2}.
  {surname.1} takes yellow jersey {people} rider {surname.1} won the mountain stage to {city} on
    {day} and leads by {12-59} seconds.
  {surname.1} to retire after {event.1} The {people} {coach}, {31-39}, said on {day} that {event.1}
    would be the last of a great career.
  {club.1} hold {club.2} to draw A late goal by {surname} saved a point for {club.1} in {city} on
    {day}.
  {tech.1} to sponsor {club.1} The {software} company pays {3-60} million euros, most of it for a
    new {coach}, before the season starts on {day}.
  New owner promises {club.1} a title The billionaire who bought {club.1} in {month} told fans on
    {day} that the {coach} would get money for new players.
  {^sport.1} players strike over pay Players of the {sport.1} league refused to train on {day}, and
    the season in {country} may start late.
  {club.1} ready to trade {surname.1} {club.1} are in talks to send {coach} {surname.1} to {club.2},
    a newspaper in {city} said on {day}.
  Video replay comes to {sport.1} Referees of {sport.1} will use cameras and a computer at {event},
    the federation said on {day}.
  {surname.1} runs with a computer in the shoe {people} runner {surname.1} set a record in {city} on
    {day} in shoes that {tech} built with a chip.
  {club.1} show profit and a new {coach.1} Record sales of shirts let {club.1} buy {people}
    {coach.1} {surname} on {day}, weeks before {event}.
  {country.1} coach blames referee {country.1}'s coach {surname} said on {day} that a terrible
    decision had cost the team a place at {event}.
  {surname.1} fit for {event.1} The {people} {coach} trained for the first time since {month} and
    may start against {country} on {day}.
  World champion {surname.1} beaten Unseeded {surname} of {country} knocked the world number one out
    in {city} on {day}.
  {club.1} win shoot-out to reach final After extra time in {city} on {day}, {coach} {surname} saved
    two penalties for {club.1}.
  President greets {club.1} {club.1} showed the cup to the president of {country} on {day}, a week
    after they beat {club.2} in the final.
  Sponsor leaves {club.1} before season {club.1} will play in plain shirts when the {sport} season
    starts on {day}, {coach} {surname} said.
  Tributes to {surname.1}, who never missed a game Former {club.1} {coach} {surname.1} holds the
    record of {300-700} games for the club.

business:
  {firm.1} profit rises {2-40} percent {firm.1} said on {day} that quarterly profit rose on strong
    sales of {goods} in {country}.
  {firm.1} to cut jobs {firm.1} will close a plant in {country} and cut {200-900} jobs to save
    costs, the {boss} said on {day}.
  {firm.1} to buy {firm.2} {firm.1} agreed on {day} to buy its rival {firm.2} for {2-9} billion
    dollars in cash and shares.
  Stocks {fall|slip} as oil hits {40-90} dollars Shares in {city} fell on {day} as investors weighed
    the price of oil and news from {firm}.
  {firm.1} {boss.1} quits {firm.1}'s {boss.1} {surname} left on {day}, weeks after the company
    restated its accounts.
  {country.1} raises interest rates The central bank of {country.1} lifted its main rate to {2-9}
    percent on {day} to slow inflation.
  {club.1} shares jump on takeover talk Shares in the {sport} club {club.1} gained {5-30} percent on
    {day} after an investor from {city} raised its stake.
  {tech.1} shares tumble on weak forecast Shares of {tech.1} lost {5-30} percent on {day} when the
    {product} maker warned of lower sales.
  {firm.1} sues former {boss.1} {firm.1} took its old {boss.1} to court in {city} on {day} over
    {2-90} million dollars of bonuses.
  Unions and {firm.1} reach deal Workers at {firm.1} in {country} ended a strike on {day} in return
    for a {2-6} percent raise.
  {country.1}'s economy grows {2-6} percent Exports of {goods} and {goods} lifted growth in
    {country.1} in the quarter to {month}.
  {firm.1} files for bankruptcy {firm.1} asked a judge on {day} for protection from creditors, to
    whom it owes {200-900} million dollars.
  {firm.1} to float in {city.1} {firm.1} plans to sell {10-49} percent of its shares on the {city.1}
    exchange in {month}, bankers said.
  Cup final a boon for {city.1} hotels {^crowd} {sport} fans spent {2-90} million euros in {city.1}
    before {club} met {club} on {day}.
  Dollar {falls|slides} against euro The dollar fell on {day} after figures showed a wider trade gap
    with {country}.
  Regulator fines {firm.1} Regulators in {city} fined {firm.1} {2-90} million euros on {day} for
    fixing the price of {goods}.
  {firm.1} wins {goods.1} contract {firm.1} will supply {goods.1} to {firm.2} under a deal worth
    {20-900} million dollars.
  Election lifts shares in {country.1} Investors cheered the victory of the {office} on {day}, and
    {firm} gained {2-9} percent.
  {firm.1} delays opening of stores The retailer put off plans for {12-60} stores in {country} after
    a poor {month}, its {boss} told shareholders.
  {tech.1} sees demand for {gadget.1} Sales of the {gadget.1} beat forecasts, and the {boss} said on
    {day} that {tech.1} would hire {200-900} workers.
  {firm.1} warns on costs The price of {goods} will eat into {firm.1}'s earnings this year, the
    {boss} told analysts on {day}.
  {tech.1} and {firm.1} in merger talks Bankers in {city} say {tech.1} could pay {2-9} billion
    dollars for {firm.1}, a business with little debt.
  Sports channel sold to {firm.1} {firm.1} paid {20-900} million dollars for a {sport} channel on
    {day} and hopes to win back advertisers.
  {firm.1} pays first dividend in {3-9} years {^boss} {surname} told shareholders in {city} on {day}
    that business was good again.
  Jobless claims fall Fewer workers than expected lost their jobs in {country} last week, though
    factories that make {goods} still cut shifts.
  Budget airline adds routes to {country.1} The carrier, owned by {firm.1}, will fly from {city} for
    {12-60} euros as fuel gets cheaper.
  Investors flee {country.1} after a {disaster.1} Bonds of {country.1} sank on {day} on fear that
    the {disaster.1} would cost billions.
  {firm.1} moves headquarters to {city.1} Lower taxes drew {firm.1} to {city.1}, {boss} {surname}
    said as annual results came out on {day}.
  World's biggest maker of {goods.1} reports loss Rising costs pushed {firm.1} into the red for the
    first time since it listed in {city}.
  Online sales lift {firm.1} Customers who order {goods} over the Internet helped {firm.1} to a
    {10-49} percent rise in revenue.

technology:
  {tech.1} unveils {gadget.1} {tech.1} showed a {gadget.1} on {day} that runs twice as fast and
    stores {20-900} gigabytes.
  New {threat.1} spreads by mail Security experts warned on {day} of a {threat.1} that steals
    passwords from users of the {tech} {software}.
  {tech.1} fixes hole in {product.1} {tech.1} released a patch on {day} for a flaw that let hackers
    take over the {product.1}.
  Scientists build {machine.1} Researchers in {city} have built a {machine.1} no bigger than a grain
    of rice, they reported on {day}.
  {^space.1} reaches orbit A {space.1} launched from {country} entered orbit on {day} and sent its
    first pictures to Earth.
  {tech.1} puts money into {cell.1} research The company will spend {20-90} million dollars on a
    {cell.1} that drives a {gadget} for {2-9} days.
  {tech.1} opens source code Programmers may change the code of the {tech.1} {software} from
    {month}, the company said on {day}.
  Referee gets a {machine.1} A {machine.1} from {tech} follows the ball {200-900} times a second and
    tells {sport} referees what it saw.
  {tech.1} to sell music over the web Users of the {tech.1} {gadget} can download songs from {day}
    for {60-99} cents each.
  Broadband for villages in {country.1} A wireless network will bring fast Internet to {12-90}
    villages in {country.1} by {month}.
  {^gadget.1} beats grandmaster at chess A program from {city} won {3-5} games of six on {day} on an
    ordinary {gadget.1}.
  {tech.1} delays {product.1} again The next version of the {product.1} will come in {month} at the
    earliest, a {tech.1} engineer wrote.
  Gamers queue for {tech.1} {gadget.1} {^crowd} fans waited outside shops in {city} on {day} for the
    {sport} game that comes with the {gadget.1}.
  {^space.1} lost near Mars Engineers in {city} lost contact with the {space.1} on {day}, {2-9}
    months after launch.
  Review: the {tech.1} {gadget.1} Light, quick and easy to set up, the {gadget.1} is a great choice,
    though its screen is only okay.
  Spam makes up {50-90} percent of mail Filters from {tech.1} stop most of it, a study of {crowd}
    mail boxes found.
  {tech.1} hires hacker {surname}, who wrote a {threat} at {15-19}, now tests the {product} of
    {tech.1} for holes.
  Army of {country.1} tests {machine.1} Troops will use the {machine.1} to find mines left by the
    war with {country.2}, engineers said on {day}.
  {tech.1} phones get television From {month}, owners of a {tech.1} {gadget} can watch {sport} and
    news on the move.
  {country.1} government picks open software Ministries in {country.1} will move {200-900} computers
    to a free {software} by {month}.
  {^cell.1} could end power cuts A {cell.1} tested in {city} stores wind energy for {12-48} hours,
    engineers said.
  {tech.1} search adds maps Users can now type a street in {city} into the {software} and see it
    from a satellite.
  Climate change melts glaciers of {country.1} Scientists who used a {space} say the ice could be
    gone in {20-60} years.
  {tech.1} tests video calls The {tech.1} {software} will let users see each other for free,
    {tech.1} wrote on its web site on {day}.
  Robot dog plays {sport.1} Students in {city} taught a robot from {tech} to play {sport.1} with a
    camera and {2-9} motors.
  {firm.1} puts radio chips in {goods.1} The tags from {tech.1} tell a computer where each box of
    {goods.1} is, and privacy groups object.
  Online voting trial in {country.1} hits {threat.1} A {threat.1} stopped the test of voting by
    {gadget} for {2-9} hours on {day}.
  {tech.1} and {tech.2} agree on standard for {gadget.1} The two rivals will share technology so
    that any {gadget.1} can read the same discs.
  Cheap {gadget.1} for schools of the world The {gadget.1}, designed in {city}, costs {60-99}
    dollars and needs no mains power.
  World's fastest {machine.1} switched on in {city} The machine does in {2-9} seconds what a
    {gadget} does in a year.

plain:
  World news in brief: the {office} of {country} met {rebels} in {city} on {day}, {said}.
  In World news, {country} and {country} are at odds over refugees from the {disaster}.
  Turn to Sports for the game of {club} against {club} and an interview with {coach} {surname}.
  Sports: {club} beat {club} in {city} on {day}.
  Our Sports desk has the results of {event} and all the {sport} scores.
  Business: {firm} shares rose on {day} on higher sales of {goods}.
  The Business pages report that {firm} will buy {firm} for {2-9} billion dollars.
  {surname}, who teaches Business in {city}, expects the price of {goods} to fall.
  Technology: {tech} showed a new {gadget} on {day}.
  The Institute of Technology in {city} has built a {machine} that is run from a {gadget}.
  In Technology this week, a {threat} in the {tech} {software} and a {space} in orbit.
""")

TOPICS = [RULES[topic] for topic in ("world", "sports", "business", "technology")]
