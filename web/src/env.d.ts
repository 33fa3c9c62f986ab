/** The version of coppice, which the build fills in. */
declare const __VERSION__: string
