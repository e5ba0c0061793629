"""What a recipe asks for and hardly means, since other settings leave it without effect."""

from nin_onnx.recipe.settings import NetworkSettings, Recipe

__all__ = ["ineffective"]


def ineffective(recipe: Recipe) -> list[str]:
    """A line for each setting that is allowed and changes nothing."""
    network, train, schedule = recipe.network, recipe.train, recipe.schedule
    not_stepped = schedule.kind != "stepped" and f"schedule.kind is '{schedule.kind}', not 'stepped'"
    not_normal = network.initialization != "normal" and f"network.initialization is '{network.initialization}', not 'normal'"
    validated = train.validation > 0 and "with train.validation the test set is not looked at"
    given = (
        ("train.test_curve", train.test_curve, validated),
        ("schedule.milestones", schedule.milestones, not_stepped),
        ("network.std", network.std != NetworkSettings.std, not_normal),
        ("network.layer_std", network.layer_std, not_normal),
    )
    lines = [
        f"{key} changes nothing, since {reason}: leave one of them out" for key, is_set, reason in given if is_set and reason
    ]
    late = [epoch for epoch in schedule.milestones if epoch >= train.epochs]
    if late and not not_stepped:
        lines.append(
            f"the learning rate will not fall after epoch {', '.join(map(str, late))} (schedule.milestones), "
            f"since epoch {train.epochs} is the last (train.epochs): set both"
        )
    return lines
