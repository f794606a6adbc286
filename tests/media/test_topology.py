"""The landmark lists name what they say, on a real mesh where there is one, and hold together everywhere."""

from adiff_jax.media import topology


def test_lists_are_disjoint_and_in_range():
    lips = [index for lip in (topology.UPPER_LIP, topology.LOWER_LIP) for ring in lip for index in ring]
    eyes = [index for eye in topology.EYES for part in eye for index in part]
    for indices in (lips + eyes, list(topology.STABLE)):
        assert len(set(indices)) == len(indices)
        assert min(indices) >= 0 and max(indices) < 478


def test_lids_and_lips_lie_where_they_should(track):
    """On a real face seen from the front, y down: upper above lower, corners outside, columns in order."""
    points = track.points[0]
    for eye in topology.EYES:
        upper, lower = points[list(eye.upper)], points[list(eye.lower)]
        assert (upper[:, 1] < lower[:, 1]).all()
        assert abs(upper[:, 0] - lower[:, 0]).max() < abs(upper[0, 0] - upper[-1, 0]) / 3
        line = points[[eye.corners[0], *eye.upper, eye.corners[1]], 0]
        assert (sorted(line) == line).all() or (sorted(line) == line[::-1]).all()
    for lip in (topology.UPPER_LIP, topology.LOWER_LIP):
        for ring in lip:
            assert (points[list(ring), 0][1:] > points[list(ring), 0][:-1]).all()
    middles = [ring[4] for ring in topology.UPPER_LIP[::-1] + topology.LOWER_LIP]
    assert (points[middles, 1][1:] - points[middles, 1][:-1] > -0.5).all()
