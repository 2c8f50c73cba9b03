/* The one source of the version: meson.build, the packages and `softfocus --version` read it from here. */
#ifndef SOFTFOCUS_VERSION_H
#define SOFTFOCUS_VERSION_H

#define SOFTFOCUS_VERSION_MAJOR 0
#define SOFTFOCUS_VERSION_MINOR 1
#define SOFTFOCUS_VERSION_PATCH 0
#define SOFTFOCUS_VERSION_STRING "0.1.0"

#endif
