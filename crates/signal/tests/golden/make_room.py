"""Prints what the room of augment/room.rs's tests decays like, by another road than that file's.

All images are laid out in one array, and the slope of the energy still to come is fitted image by image,
without steps of time; needs numpy. `make_room.py` prints reflection coefficient, images within 1.2 s,
and the time in which the tail decays by 60 dB.
"""

import numpy as np

SIZE = np.array([5.2, 4.1, 2.7])
SOURCE = np.array([1.3, 2.9, 1.6])
MICROPHONE = np.array([3.8, 1.5, 1.3])
SPEED_OF_SOUND = 343.0
SECONDS = 1.2

direct = np.linalg.norm(SOURCE - MICROPHONE)
radius = direct + SPEED_OF_SOUND * SECONDS
squares, reflections = [], []
for length, source, microphone in zip(SIZE, SOURCE, MICROPHONE):
    periods = np.arange(-int(radius / length) - 2, int(radius / length) + 3)
    # The source itself has met wall 0 and wall L equally often, its mirror image one more.
    even = 2 * periods * length + source - microphone
    odd = 2 * periods * length - source - microphone
    squares.append(np.concatenate([even, odd]) ** 2)
    reflections.append(np.concatenate([abs(2 * periods), abs(2 * periods - 1)]))
total = squares[0][:, None, None] + squares[1][None, :, None] + squares[2][None, None, :]
count = reflections[0][:, None, None] + reflections[1][None, :, None] + reflections[2][None, None, :]
near = total <= radius**2
distance, count = np.sqrt(total[near]), count[near]
order = np.argsort(distance)
distance, count = distance[order], count[order]
for reflection in (0.5, 0.7, 0.8, 0.9, 0.95):
    tail = count > 0
    energy = reflection ** (2.0 * count[tail]) / distance[tail] ** 2
    to_come = np.cumsum(energy[::-1])[::-1]
    level = 10 * np.log10(to_come / to_come[0])
    used = (level <= -5) & (level >= -35)
    time = (distance[tail] - direct) / SPEED_OF_SOUND
    # Evenly over time, as a curve that is sampled would weigh it.
    grid = np.linspace(time[used][0], time[used][-1], 2000)
    slope = np.polyfit(grid, np.interp(grid, time[used], level[used]), 1)[0]
    print(f"{reflection} {len(distance)} {-60 / slope:.4f}")
