//! labyrinth
