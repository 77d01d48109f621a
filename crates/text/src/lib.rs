//! labyrinth-text
