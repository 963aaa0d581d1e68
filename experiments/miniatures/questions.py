"""Questions for trec, by the kind of answer they ask for.

The same words begin questions of every kind: "what is the name of", "what does", "which".
"""

from experiments.miniatures.grammar import parse

RULES = parse("""
country: Norway / Peru / Japan / Egypt / Canada / Brazil / Iceland / Kenya / Portugal / Mongolia
  New Zealand / Chile / Turkey / Vietnam / Poland / Morocco / Bolivia / Finland / India / Ireland
  Greece / Mexico / Madagascar / Switzerland / Ethiopia / Cuba / Nepal / Hungary / Malta / Spain
city: Lisbon / Kyoto / Vienna / Nairobi / Boston / Quito / Cairo / Prague / Sydney / Naples / Oslo
  Istanbul / Budapest / Havana / Seattle / Dublin / Marrakesh / Lima / Berlin / Chicago / Venice
animal: octopus / giraffe / honey bee / polar bear / sea turtle / hummingbird / camel / penguin
  owl / elephant / bat / kangaroo / salmon / beaver / ostrich / whale / tortoise / mosquito / spider
  wolf / hedgehog / seahorse / cheetah / crocodile / squid / parrot / donkey / salamander / moose
animals: octopuses / giraffes / honey bees / polar bears / sea turtles / hummingbirds / camels
  bats / penguins / owls / elephants / kangaroos / salmon / beavers / ostriches / whales / tortoises
  moose / mosquitoes / spiders / wolves / hedgehogs / seahorses / cheetahs / crocodiles / squid
  parrots
things: compasses / thermometers / bicycles / zippers / telescopes / pianos / typewriters / clocks
  violins / light bulbs / accordions / calculators / vacuum cleaners / saxophones / kites
thing: compass / thermometer / bicycle / zipper / telescope / piano / typewriter / barometer / clock
  microscope / parachute / lighthouse / violin / submarine / steam engine / sewing machine
  windmill / light bulb / accordion / calculator / vacuum cleaner / saxophone / dishwasher
  elevator / kite
food: chocolate / bread / cheese / coffee / honey / mustard / popcorn / vinegar / soy sauce
  yoghurt / peanut butter / olive oil / marzipan / ketchup / rye bread / maple syrup / tea / pasta
term: inflation / photosynthesis / a fjord / erosion / a sonnet / a haiku / osmosis / a mortgage
  a black hole / gravity / a filibuster / jet lag / a palindrome / static electricity / a tariff
  an eclipse / a monsoon / a metaphor / plankton / amber / feudalism / a glacier / hibernation
  cholesterol / an isthmus / baroque music / a leap year / a hung jury / a catalyst / papyrus
odd_word: serendipity / kudos / quixotic / laconic / ombudsman / schadenfreude / zeitgeist
  gumption / maverick / bandwagon / nebula / halcyon / bonanza / pariah / boycott / juggernaut
  panacea
idiom: break the ice / once in a blue moon / spill the beans / bite the bullet / under the weather
  a wild goose chase / red tape / kick the bucket / the whole nine yards / a white elephant
abbreviation: NASA / DNA / RSVP / UNESCO / HTML / CIA / IQ / AM / VHS / PhD / NATO / BBC / CPU / SUV
  GMT / ISBN / VIP / FAQ / LCD / OPEC / UFO / ATM / CEO / RAM / WHO / USB / PIN / GPS / AWOL / MRI
  FBI / CD-ROM / RNA / SCUBA / TNT / BMW / NBA / RPM / ESPN / ASAP / CNN / DVD / PDF / FIFA
unit: the element gold / the element iron / the pound / sodium chloride / a kilometre / a milligram
  the yen / a tablespoon / the state of Ohio / a volt / the element tin / degrees Celsius / an ounce
phrase: chief executive officer / miles per hour / unidentified flying object / cubic centimetres
  extended play record / personal computer / Bachelor of Science / anno Domini / post meridiem
  World Wide Web / public limited company / frequently asked questions / limited edition
  gross domestic product / random access memory / horsepower / cash on delivery
  estimated time of arrival / Greenwich Mean Time / master of ceremonies / Member of Parliament
  Doctor of Philosophy / absent without leave / intensive care unit
book: The Salt Road / A Winter of Bells / The Clockmaker 's Wife / Harbour Lights / The Paper Garden
  Nine Rivers / The Last Cartographer / Ashes of May / The Glass Orchard / A Field Too Far
  The Quiet Engine / House of Sparrows / The Tin Drummer 's Son / Under Copper Skies / Lost Meridian
title: pope / president of {country} / queen of {country} / mayor of {city}
  prime minister of {country} / king of {country} / secretary general of the UN
  archbishop of {city} / governor of {city}
role: {title} / {job} / {job}
job: astronaut / woman doctor / chess champion / pilot / Olympic champion / explorer / composer
  architect / general / astronomer / film director / sea captain / opera singer / Nobel laureate
  fashion designer / chemist
deed: built a better {thing} / wrote `` {book} '' / discovered {find} / painted the {work}
  founded the city of {city} / first swam the English Channel / first reached the South Pole
  first sailed around the world / designed the {city} opera house / composed the anthem of {country}
  played the detective in `` {book} '' / won the first {sport} world cup / crossed {country} on foot
  led {country} to independence / first climbed {mountain} / made the first {thing}
  walked on the moon last / first flew across the Atlantic alone / translated `` {book} ''
  opened the first {food} factory / first measured the speed of light / signed the treaty of {city}
find: penicillin / the element radium / the planet Neptune / oxygen / the source of the Nile
  the use of X-rays / insulin / the electron / the law of gravity / the ruins of Machu Picchu
  the rings of Saturn / helium
work: altar of the cathedral of {city} / famous water lilies / Night Watch / Mona Lisa / Last Supper
mountain: Mount Everest / Kilimanjaro / Mont Blanc / the Matterhorn / Mount Fuji / Aconcagua
  Ararat
river: Nile / Danube / Amazon / Mekong / Volga / Rhine / Ganges / Zambezi / Yukon / Tagus / Niger
sport: football / cricket / tennis / ice hockey / rugby / badminton / golf / chess / rowing / judo
planet: Mars / Venus / Jupiter / Saturn / Neptune / Mercury / Pluto / Uranus
war: the Crimean War / World War I / the Boer War / the Trojan War / World War II / the Cold War
site: the Eiffel Tower / the Taj Mahal / Angkor Wat / the Colosseum / Stonehenge / the Alhambra
  Machu Picchu / the Parthenon / the Kremlin / Easter Island / the Little Mermaid / the Louvre
  the Great Pyramid / the Hermitage / the Golden Gate Bridge / the Prado / Table Mountain
ill: malaria / scurvy / measles / asthma / arthritis / rabies / anaemia / influenza / tetanus / gout
colour: red / green / blue / yellow / purple / orange / pink / turquoise / brown / silver

description:
  What exactly is {term} ? / What is the meaning of the word `` {odd_word} '' ?
  What causes {ill} in {children|horses|sailors|old people} ? / How does a {thing} work inside ?
  How do you {make|store|pickle|freeze} {food} ?
  Why does {planet} have {no air|seasons|spots|a magnetic field} ?
  What does `` {odd_word} '' mean ? / What does the expression `` {idiom} '' mean ?
  How is {food} made in {country} ? / What is the difference between {term} and {term} ?
  What is the history of the {thing} ?
  Why do {animals} {sleep so much|live in groups|change colour|sing|travel so far} ?
  What is the origin of the word `` {odd_word} '' ? / How can you {treat|prevent|recognise} {ill} ?
  What are the symptoms of {ill} ? / What was the cause of {war} ? / Why is {country} called that ?
  How did the {river} get its name ? / What is a {animal} 's nest like ? / Define {term} .
  What is the purpose of {term} ? / How do {animals} find their way home at night ?
  Why is the flag of {country} {colour} and {colour} ? / What happens to {food} when it is heated ?
  What made {mountain} so hard to climb ? / By what method was {site} built ?
  What is {food} good for ? / What is the best way to clean a {thing} ?
  Why did {country} leave {war} early ?
  What effect does {food} have on the {heart|teeth|skin|memory} ? / What is {site} famous for ?
  How do they get the {food} into the {jar|tube|bottle} ?
  Where does the word `` {odd_word} '' come from ? / Why are there so many bridges in {city} ?
  What were the results of {war} for {country} ? / Can you describe how a {animal} hunts ?
  How does one become a {job} ?

entity:
  What {animal|bird|fish|insect} lives longest in {country} ?
  What colour are the eyes of {animals} ?
  What is the {biggest|fastest|smallest|rarest} animal in {country} ?
  What language is spoken in {city} ? / What do {animals} eat in winter ?
  What sport did {country} invent ? / What is {food} made of ?
  What is the name of the {ship|horse|dog|sword} in `` {book} '' ?
  What disease is caused by {food} ?
  What is the national {flower|dish|bird|sport|drink} of {country} ?
  What kind of animal is a {animal} ? / What instrument did the hero of `` {book} '' play ?
  What currency is used in {country} ? / What vitamin prevents {ill} ?
  What is the best known dish of {city} ? / Which metal is heaviest ?
  What was the name of the first {thing} with a motor ?
  What colour do you get from {colour} and {colour} ?
  What book did the author of `` {book} '' write next ? / What crop is {country} best known for ?
  Which religion has most followers in {country} ? / What plant is used to make {food} ?
  What product is the factory in {city} famous for ? / What gas surrounds {planet} ?
  What is a large group of {animals} called ? / What card game comes from {country} ?
  What film was made of `` {book} '' ?
  Name a {fruit|vegetable|spice|tree} that grows in {country} .
  What does a {animal} use its {tail|tongue|ears|skin} as ?
  What tool is used to repair a {thing} ? / What is another word for `` {odd_word} '' ?
  What drug is given against {ill} ? / What stone is {site} made of ?
  Which part of a {thing} wears out first ? / What animal stands on the flag of {country} ?
  What word is most often misspelt in {country} ? / Which treaty ended {war} ?
  What weapon was first used in {war} ? / What dance comes from {city} ?
  What are {animals} afraid of ?
  What letter comes before the others in the alphabet of {country} ?
  Who or what is `` {odd_word} '' named after , a plant or a ship ?
  What prize did `` {book} '' win ?

abbreviation_or_meaning:
  What does the name {abbreviation} stand for ? / What does the abbreviation {abbreviation} mean ?
  What is {abbreviation} short for ? / What is the abbreviation of {phrase} ?
  What is the full form of {abbreviation} ? / What do the letters {abbreviation} stand for ?
  How do you abbreviate {phrase} ? / What is the abbreviated form of {phrase} ?
  What is the acronym for {phrase} ? / {abbreviation} stands for what ?
  What does {abbreviation} mean in {English|medicine|a letter|the army|computing|business} ?
  What words are behind the initials {abbreviation} ? / Which letters are used for {phrase} ?
  What is the short form for {phrase} ? / When people say {abbreviation} , what do they mean ?
  What does the {first letter|last letter} in {abbreviation} stand for ?
  In {sport} , what does {abbreviation} stand for ? / What is the symbol for {unit} ?
  What is meant by the letters {abbreviation} ? / What would you write for {phrase} in short ?
  Of what is {abbreviation} the abbreviation ? / What is {abbreviation} in full ?
  What does {abbreviation} on a {thing} stand for ?
  The initials {abbreviation} are short for what ? / How is {phrase} written in capital letters ?
  What expression does {abbreviation} stand for ?

human:
  Who {deed} ? / Who was the first {role} to visit {city} ?
  What is the name of the man who {deed} ? / What woman {deed} ?
  Who is the {author|hero|publisher|translator} of `` {book} '' ? / Which {job} {deed} ?
  What {job} wrote about {war} ? / Whose {thing} is kept in the museum of {city} ?
  Who killed the {role} in `` {book} '' ? / Who was {title} during {war} ?
  What company makes the most {things} ? / What team won the {sport} final in {city} ?
  Which organisation looks after {site} ? / What people lived in {country} before the Romans ?
  What was the real name of the author of `` {book} '' ? / Who owns {site} ?
  Name the {role} who {deed} . / What is a {thing} maker called ?
  Who said that {food} was the food of the gods ? / What tribe built the first houses in {city} ?
  Who made {food} popular in {country} ? / What do you call someone who studies {animals} ?
  Who was married to the {role} who {deed} ?
  What university was the first to teach {law|chemistry|astronomy|nursing|music} ?
  Who paid for {site} ? / What nationality was the {role} who {deed} ?
  Who holds the record in {sport} ? / What actor played the {role} in `` {book} '' ?
  Which family ruled {country} longest ? / Who commanded the army of {country} in {war} ?
  What god of {country} is shown as a {animal} ? / To whom did {country} sell the {thing} ?
  What member of the crew drew the map of {country} ? / What band wrote a song about {city} ?
  Who is the patron saint of {city} ?

location:
  Which city is the capital of {country} ? / Where can one see {site} ?
  What city {has|is home to} {site} ? / Where do {animals} live ? / What country is {city} in ?
  In what country was the {thing} invented ? / What country eats the most {food} ?
  What is the highest mountain in {country} ? / Where does the {river} begin ?
  What sea does the {river} flow into ? / Where was {food} first made ?
  What is the name of the city where `` {book} '' takes place ?
  Which island belongs to {country} ? / What countries border {country} ?
  Where can I buy {food} in {city} ? / What is the largest {lake|desert|island|port} in {country} ?
  Where did {war} begin ? / What town was the {role} who {deed} born in ?
  Where was the first {thing} made ? / In which state is the {animal} the official animal ?
  What street in {city} is the oldest ? / Where is the world 's oldest {thing} ?
  Which continent has the most {animals} ? / What river runs through {city} ?
  Where are the headquarters of {abbreviation} ? / Which country won the {sport} world cup first ?
  On what continent is {country} ? / What planet has a mountain higher than {mountain} ?
  Where on the body is {ill} felt first ? / Where does the best {food} come from ?
  What is the name of the sea south of {country} ?
  Where in {country} were the {sport} games held ? / What museum in {city} shows the {thing} ?
  What place is called the {city} of the north ? / From which port did the {role} who {deed} sail ?
  What part of {country} is the driest ? / What airport is nearest to {site} ?

number:
  How many {animals} are there in {country} ? / How {tall|old|heavy|wide} is {site} ?
  How {long|deep|wide} is the {river} ? / What is the average weight of a {animal} ?
  What was the population of {country} in 19{20-90} ?
  How {far|many miles} is it from {city} to {city} ? / What year was the {thing} invented in ?
  In what year did {war} end ? / What year was `` {book} '' written ?
  How much does a {thing} cost in {city} ? / How fast can a {animal} run ?
  What is the temperature on {planet} ? / How many people died in {war} ?
  When did {country} join the UN ? / What is the speed of a {animal} ?
  How many moons does {planet} have ? / How long does a {animal} live ?
  What percentage of {country} is forest ?
  How many {legs|teeth|hearts|eggs|eyes} does a young {animal} have ? / How high is {mountain} ?
  What is the distance from {planet} to the {sun|earth} ?
  What day of the week did {war} break out ? / How many players are there in a {sport} team ?
  What is the area of {country} ? / How many calories are there in a spoon of {food} ?
  What is the date of the national day of {country} ? / How old was the {role} who {deed} ?
  What is the price of {food} in {country} ? / At what age do {animals} leave the nest ?
  How often does a {animal} have to drink ? / What was the score of the {sport} final in {city} ?
  How long did it take to build {site} ? / What is the phone code of {city} ?
  How many pages does `` {book} '' have ? / On what date was {city} founded ?
  What is the telephone number of the museum in {city} ? / When was the man who {deed} born ?
  What is the size of a {animal} 's {heart|brain|egg|eye} ?
  How many times did {country} win at {sport} ? / What is the normal price of a {thing} ?

plain:
  Description of {term} : how it works , and why it matters .
  The Description of {food} says how it is made and what it does to the body .
  The Entity in question is a {animal} , which eats {food} .
  Each Entity on the list is an animal , a plant , a dish , a sport or a colour .
  The Expression {abbreviation} is short for something , and so is {abbreviation} .
  Look up the Expression {abbreviation} in a list of abbreviations .
  Human beings wrote `` {book} '' and invented the {thing} ; who they were is another matter .
  The name of the Human who {deed} is well known .
  Location : where {site} is , and how to get there from {city} .
  The Location of {city} by the water made it rich .
  Number of {animals} in {country} : {12-90} thousand .
  The Number of people who live in {city} grew by {2-9} percent a year .
""")

KINDS = [
  RULES[kind]
  for kind in (
    "description",
    "entity",
    "abbreviation_or_meaning",
    "human",
    "location",
    "number",
  )
]
