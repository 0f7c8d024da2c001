int second(int);

static inline int from_header(int x)
{
	int y = x;
	while (y > 100)
		y /= 3;
	return y;
}
