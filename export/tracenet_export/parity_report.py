"""parity.json for people: parity.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracenet_export.parity import TIE, answer_errors


def parity_markdown(parity: Mapping[str, Any]) -> str:
    """The page that lies in the bundle beside parity.json."""
    return "\n".join(
        [
            f"# Parity: {parity['target']} {parity['precision']}",
            "",
            f"Checked by: {parity['checked_by']}. {_limits(parity)}",
            "",
            f"The programs' files take {parity['program_bytes']:,} bytes, "
            f"{parity['program_bytes'] / parity['checkpoint_bytes']:.2f} of the network's weights "
            "in fp16.",
            "",
            "## The whole replay against FullNet in PyTorch, on photos",
            "",
            "IoU of the answering level's mask with FullNet's, inside the window; a tap that "
            f"another level answers than FullNet's best or one within {TIE:.0%} of its score (a "
            "flip) counts as 0, and masks of less than 64 cells (small) are left out. A truncated "
            "mask is one that reaches beyond its window. With a halo below 1 windows keep only "
            "this share of what the answers depend on, and the replay's limits do not apply.",
            "",
            "| schedule | canvas | halo | taps | mean IoU | 5th percentile | flips | small | "
            "truncated | mean IoU of whole masks | largest error | largest mean error of the "
            "answers |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
            *map(_schedule_row, parity["schedules"]),
            "",
            *_sessions(parity["sessions"]),
            *_clips(parity["clips"]),
            "## Each program against PyTorch, on the same inputs",
            "",
            "Differences relative to the largest value of the tensor; the worst come first.",
            "",
            "| tensor | largest | mean |",
            "| --- | --- | --- |",
            *_tensor_rows(parity["programs"]),
            "",
            "## Operators",
            "",
            "| program | delegate partitions | transpositions | operators |",
            "| --- | --- | --- | --- |",
            *_operator_rows(parity["programs"]),
            "",
        ]
    )


def _limits(parity: Mapping[str, Any]) -> str:
    limits = parity["limits"]
    if limits is None:
        return (
            "The weights are random, so nothing was enforced in this precision: their answers turn "
            "on the smallest rounding."
        )
    percentile, mask_error = limits["iou_p5"], limits["mask_error"]
    masks = "" if mask_error is None else f" (masks: {mask_error:g})"
    return (
        f"Enforced: a program's tensors within {limits['program_error']:g} and the replay's within "
        f"{limits['replay_error']:g}{masks} of their largest value, the answers (scores, boxes, "
        f"masks) on average within {limits['answer_error']:g}; mean IoU at least "
        f"{limits['iou_mean']:g}"
        + ("." if percentile is None else f", 5th percentile at least {percentile:g}.")
    )


def _schedule_row(checked: Mapping[str, Any]) -> str:
    replay = checked["replay"]
    tensor, worst = max(replay["relative_error"].items(), key=lambda item: item[1])
    answer, mean = max(answer_errors(replay["mean_error"]).items(), key=lambda item: item[1])
    height, width = checked["canvas"]
    cells = (
        checked["schedule"],
        f"{height} x {width}",
        f"{checked['halo']:g}",
        replay["taps"],
        f"{replay['iou_mean']:.4f}",
        f"{replay['iou_p5']:.4f}",
        replay["level_flips"],
        replay["small"],
        replay["truncated"],
        f"{replay['whole_iou_mean']:.4f}",
        f"{worst:.1e} ({tensor})",
        f"{mean:.1e} ({answer})",
    )
    return f"| {' | '.join(map(str, cells))} |"


def _sessions(sessions: Mapping[str, Any] | None) -> list[str]:
    if sessions is None:
        return []
    return [
        "## Sessions against PyTorch, on photos",
        "",
        f"After each of {sessions['gestures']} random gestures, ten in a session: mean IoU of the "
        f"masks {sessions['iou_mean']:.4f}, 5th percentile {sessions['iou_p5']:.4f}.",
        "",
    ]


def _clips(clips: Mapping[str, Any] | None) -> list[str]:
    if clips is None:
        return []
    return [
        "## Clips against PyTorch, of windows that move over photos",
        "",
        f"{clips['things']} things tracked through {clips['frames']} frames, from the first of "
        "each clip and, fused with what was there, from the last: mean IoU of the masks "
        f"{clips['iou_mean']:.4f}, 5th percentile {clips['iou_p5']:.4f}; from PyTorch's masks and "
        f"memory to one frame {clips['frame_iou_mean']:.4f} on average. Of PyTorch's masks "
        f"{clips['seen']:.0%} are not empty.",
        "",
    ]


def _tensor_rows(programs: Mapping[str, Any]) -> list[str]:
    errors = [
        (error["max"], error["mean"], error["described"])
        for found in programs.values()
        for error in found["outputs"].values()
    ]
    return [
        f"| {name} | {largest:.1e} | {mean:.1e} |"
        for largest, mean, name in sorted(errors, reverse=True)
    ]


def _operator_rows(programs: Mapping[str, Any]) -> list[str]:
    rows = []
    for program, found in programs.items():
        counts = sorted(found["operators"].items(), key=lambda item: (-item[1], item[0]))
        listed = ", ".join(f"{count} {operator}" for operator, count in counts)
        partitions = "-" if found["partitions"] is None else found["partitions"]
        moved = sum(n for operator, n in counts if operator.lower() == "transpose")
        rows.append(f"| {program} | {partitions} | {moved} | {listed} |")
    return rows
