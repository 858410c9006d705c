"""Small pictures as SVG: shapes, axes, and a panel with both."""
import math
from xml.sax.saxutils import escape

INK, GREY, GRID = "#222222", "#8a8a8a", "#e4e4e4"
BLUE, ORANGE, GREEN = "#1f5ab4", "#c86432", "#28823c"


def short(x):
    """A coordinate."""
    return f"{x:.1f}".rstrip("0").rstrip(".")


class Svg:
    """A picture that grows by shapes."""

    def __init__(self, width, height, title):
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
            'font-family="Helvetica, Arial, sans-serif" font-size="12">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        ]

    def line(self, x1, y1, x2, y2, stroke=GRID, width=1, dash=""):
        self.polyline([(x1, y1), (x2, y2)], stroke, width, dash)

    def polyline(self, points, stroke, width=1, dash=""):
        points = " ".join(f"{short(x)},{short(y)}" for x, y in points)
        dash = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(f'<polyline points="{points}" fill="none" stroke="{stroke}" stroke-width="{width}"{dash}/>')

    def rect(self, x, y, width, height, fill):
        self.parts.append(f'<rect x="{short(x)}" y="{short(y)}" width="{short(width)}" height="{short(height)}" '
                          f'fill="{fill}"/>')

    def circle(self, x, y, r, fill, opacity=1):
        self.parts.append(f'<circle cx="{short(x)}" cy="{short(y)}" r="{short(r)}" fill="{fill}" opacity="{opacity}"/>')

    def text(self, x, y, text, anchor="start", fill=INK, size=None, bold=False, turn=0):
        more = f' font-size="{size}"' if size else ""
        more += ' font-weight="bold"' if bold else ""
        more += f' transform="rotate({short(turn)} {short(x)} {short(y)})"' if turn else ""
        self.parts.append(f'<text x="{short(x)}" y="{short(y)}" text-anchor="{anchor}" fill="{fill}"{more}>'
                          f"{escape(text)}</text>")

    def __str__(self):
        return "\n".join([*self.parts, "</svg>", ""])


class Axis:
    """Values on a stretch of pixels; logarithmic to `base`, or linear where that is 0."""

    def __init__(self, low, high, start, end, base=0):
        self.low, self.high, self.start, self.end, self.base = low, high, start, end, base

    def __call__(self, value):
        scale = math.log if self.base else float
        part = (scale(value) - scale(self.low)) / (scale(self.high) - scale(self.low))
        return self.start + part * (self.end - self.start)

    def ticks(self):
        """Where labels go: fifths of a linear axis; powers, and 2 and 5 times those of 10 where there are few."""
        if not self.base:
            return [self.low + n * (self.high - self.low) / 5 for n in range(6)]
        lowest, highest = (math.floor(math.log(v, self.base) + 1e-9) for v in (self.low, self.high))
        powers = range(lowest, highest + 1)
        ticks = [float(self.base) ** n for n in powers]
        if self.base == 10 and len(powers) < 4:
            ticks = [m * t for t in ticks for m in (1, 2, 5)]
        ticks = [t for t in ticks if self.low / 1.001 <= t <= self.high * 1.001]
        return ticks[:: 1 + (len(ticks) - 1) // 9]


def plain(x):
    """A number at a tick."""
    return f"{x:,.0f}" if x >= 10 or x == int(x) else f"{x:g}"


def axes(svg, x, y, x_name, y_name):
    """Grid, labels and names of a pair of axes."""
    for t in x.ticks():
        svg.line(x(t), y.start, x(t), y.end)
        svg.text(x(t), y.start + 16, plain(t), "middle", GREY, 11)
    for t in y.ticks():
        svg.line(x.start, y(t), x.end, y(t))
        svg.text(x.start - 6, y(t) + 4, plain(t), "end", GREY, 11)
    svg.polyline([(x.start, y.end), (x.start, y.start), (x.end, y.start)], GREY)
    svg.text((x.start + x.end) / 2, y.start + 34, x_name, "middle")
    svg.text(x.start, y.end - 10, y_name, "start", INK, 13, True)
