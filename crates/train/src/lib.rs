//! labyrinth-train
