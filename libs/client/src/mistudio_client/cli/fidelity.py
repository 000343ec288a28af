"""What quantising changed, as a small picture: a bar of relative error a layer."""

from __future__ import annotations

from mistudio_contracts.values import Fidelity

from . import human, output

WIDTH = 24
_EIGHTHS = " ▏▎▍▌▋▊▉"
_FULL = "█"


def bar(value: float, most: float, width: int = WIDTH) -> str:
    """Return a bar of ``value`` of ``most``, in eighths of a character; a trace is always seen."""
    if not most > 0 or not value > 0:
        return ""
    eighths = max(1, round(min(value / most, 1.0) * width * 8))
    return (_FULL * (eighths // 8) + _EIGHTHS[eighths % 8]).rstrip()


def show(fidelity: Fidelity) -> None:
    """Print the picture; the longest bar is that of the layer that changed most."""
    output.print_text(f"\nWhat quantising changed, over {fidelity.probe_tokens} tokens of text:")
    if fidelity.perplexity_change is not None:
        change = 100.0 * fidelity.perplexity_change
        output.print_text(
            f"perplexity {human.figure(fidelity.reference_perplexity)} → "
            f"{human.figure(fidelity.perplexity)} ({change:+.2f} %)"
        )
    most = max((each.relative_error for each in fidelity.layers), default=0.0)
    output.table(
        ("hook point", "cosine>", "relative error>", ""),
        (
            (
                each.hook_point,
                f"{each.cosine:.5f}",
                human.figure(each.relative_error),
                bar(each.relative_error, most),
            )
            for each in fidelity.layers
        ),
    )
