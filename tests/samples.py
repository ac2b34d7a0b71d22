"""The samples of a daemon's metrics, without their text."""

from spsd.metrics import Metrics


def samples(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """The values of one sample name, by the label values in the order of the label names."""
    return {
        tuple(one.labels[label] for label in sorted(one.labels)): one.value
        for family in metrics.registry.collect()
        for one in family.samples
        if one.name == name
    }


def value(metrics: Metrics, name: str, *labels: str) -> float:
    """One value; ``labels`` are the label values in the order of the label names."""
    return samples(metrics, name)[labels]
