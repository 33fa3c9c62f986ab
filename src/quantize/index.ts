/** The family table: quantisation methods. */
export {}
