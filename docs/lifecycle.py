"""Prints the state diagram of docs/architecture.md, made from the table in halfclose.lifecycle."""

from halfclose.lifecycle import TABLE, Move, State


def name(state: State) -> str:
    """The state's name as a Mermaid identifier."""
    return state.name.lower()


def diagram() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {name(State.CONNECTING)}"]
    for state, moves in TABLE.items():
        arrows: dict[State, list[Move]] = {}
        for move, target in moves.items():
            arrows.setdefault(target, []).append(move)
        for target, labels in arrows.items():
            words = ", ".join(label.value for label in labels)
            lines.append(f"    {name(state)} --> {name(target)}: {words}")
    lines += [f"    {name(State.CLOSED)} --> [*]", "```"]
    return "\n".join(lines)


if __name__ == "__main__":
    print(diagram())
