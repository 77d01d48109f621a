//! labyrinth-nn
