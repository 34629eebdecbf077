"""How each benchmark reports a figure: one line, which its make target repeats at the end."""


def ratio(name: str, value: float, operator: str, goal: float) -> None:
    """Print ``ratio NAME VALUE goal OPERATOR GOAL``."""
    print(f"ratio {name} {value:.2f} goal {operator} {goal:g}", flush=True)
