from hypothesis import given
from hypothesis import strategies as st

from tasks.core.batches import batches


@given(st.lists(st.integers()), st.integers(1, 5))
def test_all_values_stand_in_their_order_and_only_the_last_batch_may_be_smaller(
    values: list[int], size: int
) -> None:
    found = list(batches(values, size))
    assert [value for batch in found for value in batch] == values
    assert all(len(batch) == size for batch in found[:-1])
    assert all(0 < len(batch) <= size for batch in found)
