/* What every unit test includes: cmocka, and the headers that it wants before its own. */
#ifndef AISYS_TESTS_UNIT_H
#define AISYS_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

#endif
