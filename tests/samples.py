"""Values of a daemon's metrics, read from the registry and not from its text."""

from spsd.metrics import Metrics


def samples(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """The values of one sample name, by the label values in the order of the label names."""
    return {
        tuple(sample.labels[label] for label in sorted(sample.labels)): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == name
    }


def value(metrics: Metrics, name: str, *labels: str) -> float:
    """One value; ``labels`` are the label values in the order of the label names."""
    return samples(metrics, name)[labels]
