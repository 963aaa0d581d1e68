"""What a traced program computes, one operation at a time."""


def equations(jaxpr):
  """All equations of a jaxpr, those of inner jaxprs too."""
  for equation in jaxpr.eqns:
    yield equation
    for value in equation.params.values():
      for inner in value if isinstance(value, list | tuple) else [value]:
        if hasattr(inner, "eqns"):
          yield from equations(inner)
        elif hasattr(inner, "jaxpr") and hasattr(inner.jaxpr, "eqns"):
          yield from equations(inner.jaxpr)


def shapes(jaxpr) -> set[tuple[int, ...]]:
  """The shapes of all arrays that are computed on the way."""
  return {var.aval.shape for equation in equations(jaxpr) for var in equation.outvars}
