"""Names and things in the news: places are real; people, clubs and firms are invented."""

from experiments.miniatures.grammar import parse

NAMES = parse("""
city: Lisbon / Oslo / Nairobi / Lima / Warsaw / Manila / Jakarta / Cairo / Prague / Toronto
  Chicago / Mumbai / Seoul / Osaka / Athens / Vienna / Dublin / Bogota / Lagos / Ankara / Geneva
  Brussels / Helsinki / Santiago / Hanoi / Madrid / Denver / Milan / Melbourne / Zurich / Boston
  Riga
country: Kenya / Peru / Poland / Norway / Portugal / Chile / Vietnam / Nepal / Ghana / Bolivia
  Egypt / Turkey / Japan / Canada / Brazil / Finland / Greece / Morocco / Indonesia / Mexico
  Ireland / Argentina / Thailand / Hungary / Senegal / Ecuador / Denmark / Zambia / Australia
  South Korea
people: Kenyan / Peruvian / Polish / Norwegian / Portuguese / Chilean / Vietnamese / Ghanaian
  Egyptian / Turkish / Japanese / Canadian / Brazilian / Finnish / Greek / Moroccan / Mexican
  Irish
surname: Haldane / Okoro / Petrask / Lindqvist / Marwood / Tanaka-Reyes / Bellweather / Ostrander
  Quillon / Varga-Holm / Adebisi / Carradine / Thornby / Vasconi / Ruskin / Dellamar / Eskildsen
  Fenwright / Gallimore / Ibarruri / Kestrel / Lombardi / Nakagawa / Pemberley / Sandoval / Wexler
club: Northgate Rovers / Harbour City / Real Alameda / Lakeside Kings / Westmoor United / Iron Bears
  Sporting Valmonte / Eastfield Wanderers / Bay Hawks / Dynamo Karsk / Riverton Giants / River Foxes
  Saint Orla / Copper Eagles / Athletic Morena / Granite Bulls / Old Mill Town / Prairie Wolves
firm: Brightwell / Corvane / Halden Foods / Meridian Bank / Norcross Steel / Pellworth
  Quayside Oil / Sable Motors / Tamarind Air / Union Harvest / Vantell / Westlake Stores
  Ostra Shipping / Kelmore / Dunmore Mining / Fairlane Insurance / Arbor Paper / Lumen Energy
  Redfern Toys / Crestline Hotels
tech: Novatek Systems / Pixelgrove / Cirrus Labs / Datafern / Openlark / Helix Micro / Bytewood
  Quantara / Silverlink / Torchware / Mobiline / Nimbus Soft / Zephyr Chips / Webharbor / Inkwell
sport: football / tennis / cricket / rugby / basketball / hockey / golf / cycling / swimming
  rowing
day: Monday / Tuesday / Wednesday / Thursday / Friday / Saturday / Sunday
month: January / March / April / June / September / November
crowd: thousands of / hundreds of / tens of thousands of / dozens of
office: foreign minister / prime minister / president / interior minister / defence minister
  opposition leader / UN envoy / finance minister / sports minister
rebels: rebels / gunmen / militants / separatists / insurgents / fighters
marchers: protesters / students / strikers / villagers / farmers / pensioners / taxi drivers
disaster: earthquake / flood / mudslide / ferry accident / train crash / storm / forest fire
  drought / cholera outbreak / bomb blast
coach: coach / captain / striker / goalkeeper / manager / midfielder / defender
event: the World Cup / the Olympic Games / the national championship / the league cup / the open
  the world championships / the continental cup / the indoor games
boss: chief executive / chairman / finance director / founder / managing director
gadget: laptop / phone / games console / music player / camera / tablet / navigation device
  printer / e-book reader / video recorder / server / handheld computer / keyboard / television
software: browser / search engine / operating system / spreadsheet / photo editor / mail program
  chat program / database / music store / map service / media player / encyclopedia
product: {gadget} / {software}
threat: virus / worm / security hole / phishing scam / spyware program / software bug
space: telescope / space probe / satellite / lander / observatory / space capsule
machine: supercomputer / robot / weather model / laser / sensor network / quantum computer
  flying drone / microscope
cell: battery / solar cell / fuel cell / wind turbine / flywheel
goods: coffee / steel / cars / toys / furniture / wheat / oil / shoes / copper / paper / beer
said: officials said / a spokesman said / local media reported / witnesses said / it was announced
""")
