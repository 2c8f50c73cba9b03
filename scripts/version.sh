#!/bin/sh
# Prints the version, read from its one source. Called by meson.build.
sed -n 's/^#define SOFTFOCUS_VERSION_STRING "\(.*\)"$/\1/p' "$(dirname "$0")/../include/softfocus/version.h"
