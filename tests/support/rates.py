"""What rates mean, for connections and for routes."""

from pad19.protocol.rate import Rate

SCRIPTS = [  # rate, then after how many seconds somebody comes, and what that one is told
    (Rate(1, 1), [(0, 0), (0, 1), (0.999, 1), (0.001, 0), (0, 1)]),
    (Rate(3, 3), [(0, 0), (0, 0), (0, 0), (1, 2), (1, 1), (0.5, 1), (0.5, 0), (0, 0), (0, 0), (0, 3)]),
    (Rate(3, 10), [(0, 0), (1, 0), (1, 0), (0, 8), (7.5, 1), (0.5, 0), (0, 0), (0, 0), (0, 10)]),
    (Rate(2, 10), [(0, 0), (9.9, 0), (0, 1), (0.1, 0), (0, 0), (0, 10)]),
    (Rate(2, 10), [(0, 0), (25, 0), (5, 0), (0, 5)]),  # a window begins with whom it counts
    (Rate(1, 60), [(0, 0), (0.001, 60), (58.999, 1), (0.5, 1), (0.5, 0)]),
    (Rate(1, 86_400), [(0, 0), (0, 86_400), (86_399, 1), (1, 0)]),
]
