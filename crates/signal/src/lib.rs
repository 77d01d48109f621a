//! labyrinth-signal
