/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A program in C++: a virtual method, a template, and an exception that goes through a function.
 *
 *	twin		"twin 101 201", by which the fixture sees that it runs
 *	shapes		"shapes AREA TWICE CAUGHT"
 */
#include <cstdio>
#include <cstring>
#include <stdexcept>

#define TARGET __attribute__((noipa, used))

struct shape {
	virtual ~shape() = default;
	virtual int area(int scale) = 0;
};

struct square : shape {
	int side = 3;

	int area(int scale) override;
};

TARGET int square::area(int scale)
{
	return side * side * scale;
}

static volatile int factor = 2;

template <typename T> TARGET T twice(T x)
{
	return x * static_cast<T>(factor);
}

TARGET int checked(int x)
{
	if (x < 0)
		throw std::out_of_range("negative");
	return x;
}

/* Whatever checked() throws passes through here. */
TARGET int relay(int x)
{
	return checked(x) + 1;
}

TARGET int caught(int x)
{
	try {
		return relay(x);
	} catch (const std::out_of_range &) {
		return -1;
	}
}

int main()
{
	char line[128];
	square small;
	shape *any = &small;

	setvbuf(stdout, nullptr, _IOLBF, 0);
	while (fgets(line, sizeof(line), stdin)) {
		if (strcmp(line, "twin\n") == 0)
			printf("twin 101 201\n");
		else
			printf("shapes %d %d %d\n", any->area(2), twice<int>(21), caught(-5));
	}
	return 0;
}
