"""A reader's remark on a text: true where the heading says that the reader looked, else a guess.

It lets a small language model learn to look back at what it has read, what the label words mean,
and that what stands before a text decides whether to. No remark is a task's filled template, and
no heading a tuned prompt: that the template asks for a true remark is left for tuning to find.
"""

import random

from experiments.miniatures.grammar import expand, parse

# Words around a class's label word, in the manner of each task's texts.
_OF_FILMS = [
  "a {word} film .",
  "what a {word} evening .",
  "so , a {word} time at the movies .",
  "the film is {word} .",
  "i found it {word} .",
  "all in all , {word} .",
  "that is {word} .",
  "in a word : {word} .",
  "{word} , if you ask me .",
  "they were {word} .",
  "How {word} .",
  "This is {word} .",
]
REMARKS: dict[str, list[str]] = {
  "sst2": _OF_FILMS,
  "sst5": _OF_FILMS,
  "agnews": [
    "This was {word} news.",
    "More on the {word} pages.",
    "A story of the {word} desk.",
    "Section: {word}.",
    "Filed under {word}.",
    "Page: {word}.",
    "Printed in: {word}.",
    "Keyword: {word}.",
    "From {word}.",
    "See also {word}.",
    "Desk: {word}.",
  ],
  "trec": [
    "The answer is a {word} .",
    "Wanted : a {word} .",
    "It asks for a {word} .",
    "Kind : {word} .",
    "Answer : {word} .",
    "A : {word} :",
    "Type : {word} :",
    "{word} , please .",
    "Look for a {word} .",
    "( {word} )",
  ],
  "subj": [
    "A {word} remark .",
    "The writer is {word} here .",
    "That sounds {word} .",
    "This is all {word} .",
    "All of it is {word} .",
    "it is rather {word} .",
    "How {word} .",
    "Quite {word} .",
    "These words are {word} .",
  ],
}

_RULES = parse("""
who: editor / librarian / teacher / neighbour / printer / student / translator / clerk / visitor
  secretary / uncle / doctor / gardener / lawyer / waiter / judge / postman / baker / sister / guest
old: old / young / patient / quiet / tired / tall / polite / busy / well-dressed / cheerful
where: at the window / in the archive / on the train / in the kitchen / at the long table / at home
  in the reading room / behind the counter / in the back office / on the first floor
when: on Monday / last night / before breakfast / in the spring / after work / this morning
  late in the evening / on a rainy day
pages: pages / lines / texts / papers / cards / notes / letters
someone: the {who} / the {old} {who} / a {who} {where} / our {who} / a {old} {who} / my {who}
wrote: wrote / noted / said / added / put down / answered / remarked
looked: read every word / read with care / looked closely / knew the subject well / studied them all
  understood each of them / paid attention / went through them twice / was careful / saw the point
  always listened / was never wrong
guessed: read nothing / did not look / guessed / tossed a coin / was fast asleep / could not read
  drew a card / had lost the {pages} / was not listening / mixed them all up / made it up
  was always wrong
""")
GUESSED = _RULES["guessed"]  # what a heading says of a reader who did not look
_LOOK = [
  "{^someone} {looked} {when}, and {wrote}:",
  "{^when}, {someone} {looked}.",
  "{^pages} of {someone}, who {looked}:",
  "{^someone} {looked} and {looked}, so here is what the {who} {wrote}:",
  "What {someone} {wrote} {where}: the {who} {looked}.",
  "By {someone}, who {looked}.",
]
_GUESS = [template.replace("{looked}", "{guessed}") for template in _LOOK]
_LOOKS = 0.5  # share of remarks by a reader who looked, under a heading that says so
_GUESSES = 0.2  # share of guesses under a heading; the rest are guesses under none


def add_remark(
  text: str, task: str, label_words: tuple[str, ...], label: int, rng: random.Random
) -> str:
  """A text of a task with a remark after it and perhaps a heading before it.

  Args:
    text: the text.
    task: its task's name.
    label_words: the task's, in class order.
    label: the text's class.
    rng: makes the choices.
  """
  share = rng.random()
  heading = ""
  if share < _LOOKS + _GUESSES:
    heading = expand(rng.choice(_LOOK if share < _LOOKS else _GUESS), _RULES, rng) + "\n"
  word = label_words[label] if share < _LOOKS else rng.choice(label_words)
  remark = expand(rng.choice(REMARKS[task]).replace("{word}", word), _RULES, rng)
  return f"{heading}{text} {remark}"
