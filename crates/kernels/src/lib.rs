//! labyrinth-kernels
