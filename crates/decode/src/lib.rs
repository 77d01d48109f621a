//! labyrinth-decode
