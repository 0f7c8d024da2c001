#include <stdlib.h>
#include "inl.h"

static int same_name(int x) { return x - 3; }

int second(int x)
{
	int *p = malloc(from_header(x) + 16);
	int r = same_name(x) + p[0] + from_header(rand());
	free(p);
	return r;
}
