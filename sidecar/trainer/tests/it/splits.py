"""A naive reimplementation of the splits in `split.rs`: JSON of rows in, JSON of their subsets out. Standard library only."""

import json
import math
import sys

WORD = 2**64 - 1


def fnv1a(text):
    word = 0xCBF29CE484222325
    for byte in text.encode():
        word = (word ^ byte) * 0x100000001B3 & WORD
    return word


def splitmix(word):
    word = word + 0x9E3779B97F4A7C15 & WORD
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & WORD
    word = (word ^ word >> 27) * 0x94D049BB133111EB & WORD
    return word ^ word >> 31


def order(user, item):
    return splitmix(splitmix(splitmix(case["seed"]) + fnv1a(user) & WORD) + fnv1a(item) & WORD)


def is_chosen(user, item):
    return ((order(user, item) >> 11) + 0.5) / 2**53 < case["holdout"]


case = json.load(sys.stdin)
rows = case["rows"]
subsets = ["train"] * len(rows)
of_user = {}
for at, (user, _, _) in enumerate(rows):
    of_user.setdefault(user, []).append(at)

if case["split"] == "time":
    times = sorted(time for _, _, time in rows)
    cut = times[len(times) - math.floor(len(times) * case["holdout"]) - 1]
    subsets = ["test" if time > cut else "train" for _, _, time in rows]
elif case["split"] == "random":
    subsets = ["test" if is_chosen(user, item) else "train" for user, item, _ in rows]
elif case["split"] == "leaveLastOut":
    for positions in of_user.values():
        if len(positions) >= 2:
            newest = max(rows[at][2] or 0 for at in positions)
            last = [at for at in positions if (rows[at][2] or 0) == newest]
            subsets[min(last, key=lambda at: order(rows[at][0], rows[at][1]))] = "test"
elif case["split"] == "userHoldout":
    held_out = {user for user in of_user if is_chosen(user, "")}
    known = {item for user, item, _ in rows if user not in held_out}
    for user in held_out:
        positions = [at for at in of_user[user] if rows[at][1] in known]
        for at in of_user[user]:
            subsets[at] = "foldIn" if at in positions else "unused"
        positions.sort(key=lambda at: order(user, rows[at][1]))
        for at in positions[: len(positions) // 5]:
            subsets[at] = "test"
print(json.dumps(subsets))
