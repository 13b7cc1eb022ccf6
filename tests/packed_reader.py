"""A reader of the packed format, written from docs/packed_format.md alone: nothing of the package is used."""

import itertools
import math
import struct


class Steps:
    """The steps by which everything is read."""

    def __init__(self, data):
        self.x = int.from_bytes(data, "little")

    def digit(self, base):
        self.x, r = divmod(self.x, base)
        return r

    def count(self):
        w = next(w for w in itertools.count() if not self.digit(2))
        return 2**w - 1 + self.digit(2**w)

    def choice(self, k, n):
        p, found = self.digit(math.comb(n, k)), []
        for j in range(k, 0, -1):
            found.append(max(c for c in range(j - 1, n) if math.comb(c, j) <= p))
            p -= math.comb(found[-1], j)
        return found[::-1]

    def urn(self, n, size):
        f, found = [1] * size, []
        for _ in range(n):
            q, r = divmod(self.x, sum(f))
            s = next(s for s in range(size) if r < sum(f[: s + 1]))
            self.x = f[s] * q + r - sum(f[:s])
            f[s] += 2
            found.append(s)
        return found

    def integers(self, n):
        w = self.count() if n else 0
        low = (2 ** (w - 1) + self.digit(2 ** (w - 1))) * (-1) ** self.digit(2) if w else 0
        w = self.count() if n > 1 else 0
        base = 2 ** (w - 1) + self.digit(2 ** (w - 1)) + 1 if n > 2 * w > 0 else 2**w
        return [low + self.digit(base) for _ in range(n)]

    def reals(self, n):
        if n == 0 or (way := self.digit(4)) == 0:
            return [m / 10**e for e, m in zip(self.integers(n), self.integers(n), strict=True)]
        words = [self.digit(256**2**way).to_bytes(2**way, "little") for _ in range(n)]
        return [struct.unpack("<" + "efd"[way - 1], word)[0] for word in words]

    def selection(self, n):
        if (way := self.digit(3)) == 0:
            return list(range(n))
        k = self.digit(n + 1) if way == 1 else 2 + self.count()
        return [c - i * (way == 2) for i, c in enumerate(self.choice(k, n if way == 1 else n + k - 1))]

    def draws(self, n, size):
        if not n or size == 1:
            return [0] * n
        drawn = n <= 2**17 and size <= 255 and self.digit(2)
        return self.urn(n, size) if drawn else [self.digit(size) for _ in range(n)]

    def trees(self, n, C):
        head = ("threshold", "argmax")[self.digit(2)]
        K = 1 if (head, C) == ("threshold", 2) else C
        bias = self.integers(K)
        alone = K == 1 or self.digit(2)
        level = []  # nodes: output, and what is asked above: bits and answers
        for k, trees in enumerate(self.integers(K if alone else 1)):
            ends = [-1, *self.choice(n - 1, n + trees - 1), n + trees - 1]
            level += [(k, (j,)) for j in range(n) for _ in range(ends[j + 1] - ends[j] - 1)]
        inner = [1] * len(level)
        shape = [inner]
        while sum(inner):
            inner = self.draws(2 * sum(inner), 2)
            shape.append(inner)
        asked = iter(self.draws(sum(map(sum, shape[1:])), n))
        level, leaves = [(k, (), j) for k, (j,) in level], []
        for _, following in itertools.pairwise(shape):
            below = [(k, (*path, (j, a))) for k, path, j in level for a in (0, 1)]
            leaves += [each for each, flag in zip(below, following, strict=True) if not flag]
            level = [(*each, next(asked)) for each, flag in zip(below, following, strict=True) if flag]
        P = 1 + self.count()
        values = iter([v - P for v in self.draws(len(leaves) * (1 if alone else K), 2 * P + 1)])
        W, b, V = [], [], []
        for k, path in leaves:
            V.append([next(values) if not alone or k == o else 0 for o in range(K)])
            assert len({j for j, _ in path}) == len(path) <= 64
            W.append([dict(path).get(j, 2) for j in range(n)])
            W[-1] = [{0: -1, 1: 1, 2: 0}[w] for w in W[-1]]
            b.append(-sum(w > 0 for w in W[-1]))
        return head, [(W, b), ([list(row) for row in zip(*V, strict=True)], bias)]

    def layers(self, ranges, outputs):
        head, real = ("threshold", "argmax")[self.digit(2)], self.digit(2)
        widths = [0] * self.count()
        widths = [1 + self.count() for _ in widths] + [1 if (head, outputs) == ("threshold", 2) else outputs]
        found = []
        for place, d in enumerate(widths):
            k = len(ranges)
            if real:
                which = self.urn(d * k, 2) if d * k <= 2**17 and self.digit(2) else [1] * (d * k)
                values = iter(self.reals(sum(which)))
                flat, bias = [next(values) if w else 0.0 for w in which], self.reals(d)
            else:
                P = 1 + self.count() if d * k else 0
                large = d * k > 2**17
                drawn = d * k and (P <= 127 or large) and self.digit(2)
                if drawn and large:
                    places = [self.choice(c, k) for c in self.integers(d)]
                    flat = [0] * (d * k)
                    for i, j in [(i, j) for i, row in enumerate(places) for j in row]:
                        v = self.digit(2 * P) - P
                        flat[i * k + j] = v + (v >= 0)
                else:
                    flat = self.urn(d * k, 2 * P + 1) if drawn else [self.digit(2 * P + 1) for _ in range(d * k)]
                    flat = [w - P for w in flat]
                fires = place < len(widths) - 1 or widths[-1] == 1
                way = self.digit(3) if fires and None not in ranges else 0
                if way == 0:
                    bias = self.integers(d)
                else:
                    ends = [
                        [sum(pick(w * low, w * high) for w, (low, high) in zip(flat[i * k :], ranges, strict=False))
                         for pick in (min, max)] for i in range(d)
                    ]  # fmt: skip
                    bias = [(self.digit(high - low) if way == 1 else 0) - high for low, high in ends]
            found.append(([flat[i * k : i * k + k] for i in range(d)], bias))
            ranges = [(0, 1)] * d
        return head, found


class Reader(Steps):
    """`schema` is what `Schema.to_dict` gives; `read` sets members, `inputs` (column, part) with `cuts` and `fills`."""

    def __init__(self, data, schema):
        super().__init__(data)
        self.columns = [{"kind": "numeric", "scale": 1, "missing": False, **c} for c in schema["columns"]]
        self.groups = [len(c.get("levels", ())) + bool(c.get("rare")) for c in self.columns]
        self.C, self.inputs, self.cuts, self.fills, self.voting = len(schema["classes"]), [], {}, {}, None
        kind = self.digit(4)
        if kind == 0:
            self.constant = self.digit(self.C)
        elif kind == 1:
            self.read_inputs()
            grid = self.grid(self.inputs) if self.digit(2) else None
            self.members = [self.member(self.inputs, grid, list(range(self.C)))]
        elif kind == 3:
            assert self.digit(2) == 0
            self.read_inputs(short=True)
            self.members = [(list(range(self.C)), self.inputs, None, *self.trees(len(self.inputs), self.C))]
        else:
            self.read_ensemble()
        assert self.x == 0

    def member(self, inputs, grid, classes):
        ranges = [self.range(*each) if grid is None else (0, 2 ** grid[0] - 1) for each in inputs]
        return classes, inputs, grid, *self.layers(ranges, len(classes))

    def read_ensemble(self):
        scheme, self.voting, m = self.digit(3), ("majority", "sum")[self.digit(2)], 1 + self.count()
        pairs = [list(pair) for pair in itertools.combinations(range(self.C), 2)]
        usual = (pairs, [[-1, c] for c in range(self.C)], [list(range(self.C))])[scheme]
        classes = [usual[i * len(usual) // m] for i in range(m)]
        if not self.digit(2):
            classes = [[self.digit(self.C + 1) - 1 for _ in range(2 + self.digit(self.C))] for _ in range(m)]
        self.read_inputs()
        way = self.digit(3)
        bits, *ends = self.grid(self.inputs) if way == 1 else (None, (), ())
        self.members = []
        for codes in classes:
            chosen = self.selection(len(self.inputs))
            inputs = [self.inputs[s] for s in chosen]
            grid = (bits, *([each[s] for s in chosen] for each in ends)) if way == 1 else None
            if way == 2 and self.digit(2):
                grid = self.grid(inputs)
            self.members.append(self.member(inputs, grid, codes))

    def parts(self, j, mode):
        own = {"boolean": [0], "date": list(range(5)), "categorical": list(range(self.groups[j]))}
        own["categorical"] = own["categorical"][self.groups[j] <= 2 :]
        own["numeric"] = (["value"], [">="], ["value", ">="])[mode]
        return own[self.columns[j]["kind"]] + ["missing"] * self.columns[j]["missing"]

    def short(self, m):
        d = 8 + self.digit(16)
        B = 2 ** (31 - d)
        v = [self.digit(2 * B - 1) - B + 1]
        if m > 1:
            w = self.digit(32 - d)
            last = v[0] + 2**w + self.digit(2**w)
            v += [v[0] + 1 + c for c in self.choice(m - 2, last - v[0] - 1)] + [last]
        size = [struct.unpack("<f", (abs(k) << d).to_bytes(4, "little"))[0] for k in v]
        return [s if k >= 0 else -s for k, s in zip(v, size, strict=True)]

    def read_inputs(self, short=False):
        mode = self.digit(3)
        slots = [(j, part) for j in range(len(self.columns)) for part in self.parts(j, mode)]
        taken = [slots[s] for s in self.selection(len(slots))]
        cut = [j for j, part in taken if part == ">="]
        whole = {j for j in cut if "low" in self.columns[j]}
        whole = whole if whole and self.digit(2) else set()
        for j in sorted(whole):
            c, places = self.columns[j], self.choice(cut.count(j), 2 ** self.columns[j]["bits"] - 1)
            self.cuts[j] = [(c["low"] + 1 + place) / c["scale"] for place in places]
        rest = [j for j in cut if j not in whole]
        if short and rest and self.digit(2):
            found = [value for j in dict.fromkeys(rest) for value in self.short(rest.count(j))]
        else:
            found = self.reals(len(rest))
        for j, value in zip(rest, found, strict=True):
            self.cuts.setdefault(j, []).append(value)
        of = {j: iter(values) for j, values in self.cuts.items()}
        self.inputs = [(j, next(of[j]) if part == ">=" else part, part == ">=") for j, part in taken]
        need = sorted({j for j, part in taken if part != "missing" and self.columns[j]["missing"]})
        late = {"date": [], "numeric": []}
        for j in need:
            kind = self.columns[j]["kind"]
            if kind == "date" or (kind == "numeric" and j not in self.cuts):
                late[kind].append(j)
            else:
                self.fills[j] = self.digit(
                    {"boolean": 2, "categorical": self.groups[j] + 1}.get(kind) or len(self.cuts[j]) + 1
                )
        for kind, read in (("date", self.integers), ("numeric", self.reals)):
            self.fills |= dict(zip(late[kind], read(len(late[kind])), strict=True))

    def range(self, j, part, cut):
        c = self.columns[j]
        if cut or part == "missing" or c["kind"] in ("boolean", "categorical"):
            return 0, 1
        low, high = c.get("low"), c.get("low", 0) + 2 ** c.get("bits", 0) - 1
        if c["kind"] == "date" or low is None or c["scale"] != 1:
            return None
        fill = self.fills.get(j, low)
        return (low, high) if low <= fill <= high and fill % 1 == 0 else None

    def grid(self, inputs):
        bits, way = 1 + self.digit(16), self.digit(3)
        last, natural = 2**bits - 1, {}
        for i, (j, part, cut) in enumerate(inputs):
            c = self.columns[j]
            if cut or part == "missing" or c["kind"] in ("boolean", "categorical"):
                natural[i] = (0.0, 1.0 if way == 2 else 1.0 / last)
            elif way == 2 and c["kind"] == "numeric" and "low" in c and c["scale"] == 1 and c["bits"] <= bits:
                natural[i] = (float(c["low"]), 1.0)
        natural = natural if natural and self.digit(2) else {}
        n = len(inputs) - len(natural)
        if way == 2:
            steps = [2.0**e for e in self.integers(n)]
            own = [(j * step, step) for j, step in zip(self.integers(n), steps, strict=True)]
        else:
            own = list(zip(self.reals(n), self.reals(n), strict=True))
            own = [(first, z if way == 0 else (z - first) / last) for first, z in own]
        pairs = iter(own)
        every = [natural[i] if i in natural else next(pairs) for i in range(len(inputs))]
        return bits, [first for first, _ in every], [step for _, step in every]
