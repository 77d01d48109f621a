"""The ornament of the page: an inner ear, its cochlea marked with the frequencies that each place hears."""

import math

# Turns of the spiral, from the base (outside, high tones) to the apex (inside, low tones).
TURNS = 2.6


def place(along):
    """A point of the cochlea's middle line; `along` from 0 (base) to 1 (apex)."""
    radius = 92 * math.exp(-1.75 * along)
    angle = 2 * math.pi * TURNS * along + 0.35 * math.pi
    return 250 + radius * math.cos(angle), 150 + radius * math.sin(angle), radius, angle


def along_of(hertz):
    """Where a frequency is heard (Greenwood 1990, f = 165.4 (10^(2.1 x) - 0.88), x from the apex)."""
    return 1 - math.log10(hertz / 165.4 + 0.88) / 2.1


def line(points):
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def wall(side):
    """One wall of the duct: it narrows towards the apex."""
    points = []
    for step in range(241):
        x, y, radius, angle = place(step / 240)
        width = side * 0.17 * radius
        points.append((x + width * math.cos(angle), y + width * math.sin(angle)))
    return points


def canal(x, y, wide, high, turn):
    """A semicircular canal: a ring of bone with a thread of fluid in it."""
    rings = "".join(f'<ellipse class="{name}" cx="{x}" cy="{y}" rx="{wide}" ry="{high}"/>' for name in ("rim", "ring", "thread"))
    return f'<g transform="rotate({turn} {x} {y})">{rings}</g>'


def ornament():
    """The ornament as SVG; its colours are the page's."""
    middle = [place(step / 240)[:2] for step in range(241)]
    duct = wall(1) + wall(-1)[::-1]
    marks = []
    for hertz in (16000, 8000, 4000, 2000, 1000, 500, 250):
        x, y, radius, angle = place(along_of(hertz))
        out = (x + 0.17 * radius * math.cos(angle), y + 0.17 * radius * math.sin(angle))
        back = (x - 0.17 * radius * math.cos(angle), y - 0.17 * radius * math.sin(angle))
        marks.append(f'<path class="mark" d="{line([back, out])}"/>')
        if hertz in (16000, 8000, 4000):
            reach = 0.17 * radius + 13
            text = f"{hertz // 1000} kHz"
            at = (x + reach * math.cos(angle), y + reach * math.sin(angle) + 3)
            side = "start" if math.cos(angle) > 0.3 else "end" if math.cos(angle) < -0.3 else "middle"
            marks.append(f'<text x="{at[0]:.1f}" y="{at[1]:.1f}" text-anchor="{side}">{text}</text>')
    return (
        '<svg class="ornament" viewBox="0 0 400 290" role="img" aria-label="An inner ear: three semicircular canals, '
        'and the cochlea, marked with the frequencies that each place hears">'
        + canal(92, 150, 66, 30, -8) + canal(104, 96, 66, 44, 52) + canal(150, 78, 34, 58, 18)
        + '<path class="bone" d="M126 128 Q164 104 198 134 Q212 164 190 196 Q152 212 126 180 Q108 152 126 128Z"/>'
        + f'<path class="duct" d="{line(duct)}Z"/><path class="membrane" d="{line(middle)}"/>'
        + "".join(marks) + "</svg>"
    )
