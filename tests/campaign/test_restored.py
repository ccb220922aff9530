"""A world whose store is restored once from an older backup ends as every other world does."""

from tests.campaign.lost_stores import restoring_plan


def test_a_restored_backup_does_nothing_twice(simulation):
    """Compared by `adopt --open`, every return ends as it should: nothing is bought, told, flagged or paid twice."""
    outcome = simulation.run(restoring_plan(5, 4))
    assert outcome.wrong == []
    assert outcome.starts > 1
