"""Counts the tokens of both sides of a TSV corpus and encodes it, as vocabulary builders in Python do.

The peer of `seqweave prepare` in docs/guide/corpora.md: the same filter (length, empty sides), the same order of the
vocabulary, ids as 16-bit numbers in one array a side. Usage: python3 count_vocab.py pairs.tsv
"""

import sys
import time
from array import array
from collections import Counter


def tokens(path):
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            source, target = line.rstrip("\n").split("\t")
            source, target = source.split(), target.split()
            if source and target and len(source) <= 200 and len(target) <= 200:
                yield source, target


def vocabulary(counts, size=32_000):
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[: size - 4]
    return {token: number for number, (token, _) in enumerate(ranked, 4)}


def main(path):
    start = time.perf_counter()
    counts, pairs = (Counter(), Counter()), 0
    for sides in tokens(path):
        pairs += 1
        for counter, side in zip(counts, sides):
            counter.update(side)
    counted = time.perf_counter() - start
    print(f"counted   {pairs} pairs in {counted:.1f} s, {pairs / counted:.0f} a second")
    vocabularies = [vocabulary(counter) for counter in counts]
    ids = (array("H"), array("H"))
    for sides in tokens(path):
        for numbers, known, side in zip(ids, vocabularies, sides):
            numbers.extend(known.get(token, 1) for token in side)
    seconds = time.perf_counter() - start
    print(f"encoded   {pairs} pairs in {seconds:.1f} s, {pairs / seconds:.0f} a second")


if __name__ == "__main__":
    main(sys.argv[1])
