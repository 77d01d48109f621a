//! labyrinth-corpus
