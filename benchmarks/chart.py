"""Two bar charts of a run as SVG, one for light and one for dark pages."""

from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from benchmarks.contestants import LIMIT, OURS
from benchmarks.report import RATES
from benchmarks.results import Results

CHARTED = ("publish-64", "consume")

_WIDTH, _LEFT, _RIGHT = 800, 200, 200
_BAR, _GAP, _HEAD = 22, 8, 48


@dataclass(frozen=True, slots=True)
class _Theme:
    background: str
    text: str
    faint: str
    bar: str
    ours: str


_THEMES = {
    "light": _Theme("#ffffff", "#1f2328", "#59636e", "#c8d1da", "#0969da"),
    "dark": _Theme("#0d1117", "#f0f6fc", "#9198a1", "#3d444d", "#4493f8"),
}


@dataclass(frozen=True, slots=True)
class _Bar:
    title: str
    rate: float
    crash: str
    ours: bool


def write(results: Results, directory: Path) -> list[Path]:
    """Write `light.svg` and `dark.svg`."""
    directory.mkdir(parents=True, exist_ok=True)
    files = []
    for name, theme in _THEMES.items():
        file = directory / f"{name}.svg"
        file.write_text(_draw(results, theme), "utf-8")
        files.append(file)
    return files


def _draw(results: Results, theme: _Theme) -> str:
    panels, top = [], 0
    for workload in CHARTED:
        bars = _bars(results, workload)
        if bars:
            panels.append(_panel(_title(results, workload), bars, theme, top))
            top += _HEAD + len(bars) * (_BAR + _GAP)
    height = top + 40
    machine = results.machine
    foot = (
        f"Beside the rate: what becomes of events whose consumer died. {machine['cpus']} CPUs, "
        f"Python {machine['python']}, {machine['server']}, no persistence."
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" role="img" font-family="system-ui, sans-serif">\n'
        f"<title>Events per second of abe-redis and others</title>\n"
        f'<rect width="100%" height="100%" fill="{theme.background}"/>\n'
        + "".join(panels)
        + _text(12, height - 14, foot, theme.faint, size=12)
        + "</svg>\n"
    )


def _title(results: Results, workload: str) -> str:
    """What it is, and how much more the server could take; a bar of that would dwarf the others."""
    limit = results.median(workload, LIMIT, "rate")
    alone = f" (the server alone: {limit:,.0f})" if limit else ""
    return f"{RATES[workload].capitalize()}: events per second{alone}"


def _bars(results: Results, workload: str) -> list[_Bar]:
    """The fastest first; who has no figure is not there."""
    bars = []
    for one in results.standings:
        rate = results.median(workload, one.name, "rate")
        if rate is not None and one.name != LIMIT:
            bars.append(_Bar(one.title, rate, one.crash, one.name.startswith(OURS)))
    return sorted(bars, key=lambda bar: -bar.rate)


def _panel(title: str, bars: list[_Bar], theme: _Theme, top: int) -> str:
    most = max(bar.rate for bar in bars)
    drawn = [_text(12, top + 30, title, theme.text, weight="bold", size=16)]
    for number, bar in enumerate(bars):
        y = top + _HEAD + number * (_BAR + _GAP)
        width = max(1.0, bar.rate / most * (_WIDTH - _LEFT - _RIGHT))
        weight = "bold" if bar.ours else "normal"
        drawn += [
            _text(_LEFT - 10, y + 16, bar.title, theme.text, anchor="end", weight=weight),
            _rectangle(y, width, theme.ours if bar.ours else theme.bar),
            _text(_LEFT + width + 8, y + 16, f"{bar.rate:,.0f}", theme.text, weight=weight),
            _text(_LEFT + width + 70, y + 16, bar.crash, theme.faint, size=12),
        ]
    return "".join(drawn)


def _rectangle(y: int, width: float, fill: str) -> str:
    return f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR}" rx="3" fill="{fill}"/>\n'


def _text(
    x: float,
    y: float,
    text: str,
    fill: str,
    *,
    anchor: str = "start",
    weight: str = "normal",
    size: int = 14,
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" fill="{fill}" text-anchor="{anchor}" font-weight="{weight}" '
        f'font-size="{size}">{escape(text)}</text>\n'
    )
