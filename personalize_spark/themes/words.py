"""Words, and what is known of a language: enough to tell where a noun phrase may begin and end."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
_CLAUSE = re.compile(r"[.,;:!?|/()\[\]\"\u201c\u201d\u201e\u2013\u2014*\n\r\t]+|\s-\s")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f]")
_KANA = re.compile(r"[\u3041-\u30fc]")
_JAPANESE_NOUN = r"[\u30a1-\u30fa\u30fc\u3400-\u9fff々]"
_JAPANESE_NOUNS = re.compile(f"{_JAPANESE_NOUN}+")
_JAPANESE_PHRASE = re.compile(
    f"(?<!{_JAPANESE_NOUN})({_JAPANESE_NOUN}{{1,8}})(?:の|[かさ]?な|[やら]かな)({_JAPANESE_NOUN}{{1,8}})(?:(に)|(?=[をはがでとのもへや、。]|$))"
)
_JAPANESE_NEVER = frozenset({*"私人物事時中上下前後今何他方際等的為", "場合", "商品", "製品"})
_MOST_CHARACTERS = 2_000
"""Of a text that are read: what an item is about stands at its beginning."""
_SAMPLE = 2_000


@dataclass(frozen=True)
class Language:
    """What phrases of a language need.

    Attributes:
        code: names it.
        stop: words that no phrase begins or ends with.
        openers: stop words, behind which a noun phrase in its plain form may begin.
        links: stop words that hold a phrase together: dinner *with* friends.
        purpose: the word before what a thing is for: *for* long evenings.
        adjectives: endings of words that describe another.
        inflected: endings that an adjective has only within a sentence; a phrase with one cannot stand alone.
        never: words that say nothing of an item.
        joined: two terms side by side.
        used_for: a thing and what it is for.
        alone: one term of one word.
        decade: ten years, from their first three digits.
        nouns_are_capital: every noun begins with a capital letter.
        spaced: spaces stand between words.
    """

    code: str
    stop: frozenset[str] = frozenset()
    openers: frozenset[str] = frozenset()
    links: frozenset[str] = frozenset()
    purpose: str = ""
    adjectives: tuple[str, ...] = ()
    inflected: tuple[str, ...] = ()
    never: frozenset[str] = frozenset()
    joined: str = "{} & {}"
    used_for: str = "{} & {}"
    alone: str = "{}"
    decade: str = ""
    nouns_are_capital: bool = False
    spaced: bool = True


def words_in(words: str) -> frozenset[str]:
    """The words of a list with spaces between them."""
    return frozenset(words.split())


ENGLISH = Language(
    "en",
    stop=words_in(
        "a an the this that these those my your his her its our their some any no every each all both few many more most other such "
        "of in on at by for with without from to into onto over under after before between through during about against around "
        "across behind beside beyond within near up down out off as than like per via and or but nor so if then because while when "
        "where who whom whose which what how why i you he she it we they me him them us is are was were be been being am has have had "
        "do does did done will would shall should can could may might must not only own same too very just also even ever never "
        "here there again once now still yet one two three it's don't that's you'll s t ll ve re d m"
    ),
    openers=words_in(
        "a an the this these your our their some for with without in of and or from on at by any every its"
    ),
    links=words_in("of with for in at without"),
    purpose="for",
    adjectives=(*words_in("ic ous ful al ive less able ible ish ian ed esque"),),
    never=words_in(
        "perfect great good best new ideal made designed features featuring includes including comes keeps keep makes make "
        "brings gives adds offers pairs fits easy use used using enjoy get take thing things way lot something everything anyone "
        "item product piece based really well much makes need needs want let see look looks seen dvd queue watch netflix imdb "
        "loves bring works work choice fuck fucking mindfuck shit bullshit bad stupid boring weird predictable awful terrible horrible "
        "worst dumb lame crap overrated"
    ),
    joined="{} and {}",
    used_for="{} for {}",
    alone="{} favourites",
    decade="{}0s",
)
GERMAN = Language(
    "de",
    stop=words_in(
        "der die das den dem des ein eine einen einem einer eines kein keine keinen keinem keiner dieser diese dieses diesen diesem "
        "jeder jede jedes jeden jedem mein dein sein ihr unser euer ihre ihren ihrem ihrer seine seinen seinem seiner und oder aber denn "
        "sondern sowie als wie wenn weil dass ob in im ins an am ans auf aus bei beim mit nach seit von vom vor zu zum zur für durch "
        "gegen ohne um bis unter über zwischen hinter neben während wegen trotz ist sind war waren wird werden wurde worden hat haben "
        "hatte kann können muss müssen soll sollen darf will wollen ich du er sie es wir ihr mich dich sich uns euch nicht nur auch noch "
        "schon sehr so mehr alle alles allen aller viel viele vielen man was wer wo hier dort da dann immer wieder ganz gar etwa jetzt "
        "damit dabei dazu daran darauf ihn ihm ihnen deine deinen deiner dank"
    ),
    openers=words_in("für ohne durch und oder gegen um"),
    links=words_in("für mit aus im am zum zur von vom bei ohne in"),
    purpose="für",
    adjectives=(
        *words_in(
            "ig lich isch sam bar haft los ige liche ische same bare hafte lose iger licher ischer iges liches isches e es"
        ),
    ),
    inflected=("en", "em"),
    never=words_in(
        "perfekt ideal gut neu passt passend macht bringt sorgt eignet hält bleibt lässt geeignet artikel produkt stück"
    ),
    joined="{} und {}",
    used_for="{} für {}",
    alone="Unsere Auswahl: {}",
    nouns_are_capital=True,
)
JAPANESE = Language("ja", joined="{}・{}", used_for="{1}の{0}", alone="おすすめの{}", spaced=False)
UNSPACED = Language("unspaced", joined="{}・{}", spaced=False)
"""Of other texts without spaces between words: whole values are terms, words are not."""
OTHER = Language("other")
"""Any other, of which nothing is known."""
LANGUAGES = {language.code: language for language in (ENGLISH, GERMAN, JAPANESE, UNSPACED, OTHER)}


def language_of(texts: Sequence[str]) -> Language:
    """The language of most of the texts, judged by their stop words."""
    sample = [text[:_MOST_CHARACTERS] for text in texts[:: max(1, len(texts) // _SAMPLE)]]
    characters = sum(map(len, sample))
    if sum(len(_UNSPACED.findall(text)) for text in sample) > characters / 4:
        return JAPANESE if sum(len(_KANA.findall(text)) for text in sample) > characters / 10 else UNSPACED
    words = Counter(word.lower() for text in sample for word in _WORD.findall(text))
    shares = {each: sum(words[word] for word in each.stop) for each in (ENGLISH, GERMAN)}
    best = max(shares, key=lambda each: shares[each])
    if shares[best] * 25 < sum(words.values()) and not any(ord(letter) < 0x250 for letter in "".join(sample[:20])):
        return OTHER
    return best


def clauses(text: str) -> Iterable[list[str]]:
    """The words of a text, as they are written, in pieces between punctuation marks."""
    for clause in _CLAUSE.split(text[:_MOST_CHARACTERS]):
        if words := _WORD.findall(clause):
            yield words


def words_in_key(key: str, language: Language) -> list[str]:
    """The words of a term as it is counted; in Japanese its nouns."""
    return key.split() if language.spaced else _JAPANESE_NOUNS.findall(key) or [key]


def japanese_phrases(text: str) -> Iterable[tuple[str, bool]]:
    """The phrases of two nouns in a Japanese text, and whether each is what something is for: *静かな朝に*.

    A noun is what stands in kanji and katakana. Without a dictionary it is only certain where it ends, at the hiragana behind it, if
    particles make a phrase of it: の between two nouns, or な behind one that describes.
    """
    for found in _JAPANESE_PHRASE.finditer(text[:_MOST_CHARACTERS]):
        if not {found[1], found[2]} & _JAPANESE_NEVER:
            yield found[0].removesuffix("に"), found[3] is not None


def folded(text: str) -> str:
    """The words of a text in lower case with one space between: texts that read alike are equal."""
    return " ".join(_WORD.findall(text.lower()))


def stem(word: str) -> str:
    """A word in lower case, its English plural undone: forms that are counted as one."""
    low = word.lower()
    if low.endswith("ies") and len(low) > 4:
        return low[:-3] + "y"
    if low.endswith(("sses", "shes", "ches", "xes")):
        return low[:-2]
    return low[:-1] if low.endswith("s") and not low.endswith(("ss", "us", "is")) and len(low) > 3 else low
