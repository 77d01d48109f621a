"""The recording of the golden files: integers, so that the test in Rust makes the same one."""

SAMPLES = 9000


def signal():
    """Three triangle waves of growing loudness over a noise of quadratic residues."""
    samples = []
    for i in range(SAMPLES):
        value = (i * i * 7 + i * 13) % 2003 - 1001
        for pitch, loudness in ((3, 6), (17, 3), (61, 2)):
            phase = (i * pitch) % 1000
            value += loudness * (min(phase, 1000 - phase) - 250) * (i + 1000) // 4000
        samples.append(value + 300)
    assert max(map(abs, samples)) < 32768
    return samples


def toml(value):
    """A value as a recipe has it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else repr(value)


def print_case(name, options, rows):
    """One case: options in a recipe's words, and five frames of the features."""
    print("case", name)
    for key, value in options.items():
        print("option", key, "=", toml(value))
    count = len(rows)
    print("frames", count)
    for index in sorted({0, 1, count // 2, count - 2, count - 1} & set(range(count))):
        print("row", index, *(f"{value:.7g}" for value in rows[index]))
