/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A program in C++: a virtual method, a template, and an exception that goes through a function.
 *
 *	twin		"twin 101 201", by which the fixture sees that it runs
 *	shapes		"shapes AREA TWICE CAUGHT"
 *	number		"number N": an exception of type int that came through relay_number()
 *	cancel		"cancel CLEANED": a thread is cancelled while it is below linger()
 *	depth		"depth FOUND": does backtrace(3) below passage() see its caller?
 */
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <execinfo.h>
#include <pthread.h>
#include <stdexcept>
#include <unistd.h>

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

static volatile int number = 7;

TARGET void throw_number()
{
	throw static_cast<int>(number);
}

TARGET int relay_number()
{
	throw_number();
	return 0;
}

TARGET int caught_number()
{
	try {
		return relay_number();
	} catch (int n) {
		return n;
	}
}

/* --- cancellation ----------------------------------------------------------------------------- */

static std::atomic<bool> is_lingering;
static std::atomic<int> cleaned;

TARGET void wait_forever()
{
	is_lingering = true;
	for (;;)
		pause();
}

TARGET void linger()
{
	wait_forever();
}

struct cleaner {
	~cleaner() { cleaned++; }
};

static void *work(void *)
{
	cleaner c;

	linger();
	return nullptr;
}

static int cancelled()
{
	pthread_t thread;
	void *result;

	cleaned = 0;
	is_lingering = false;
	pthread_create(&thread, nullptr, work, nullptr);
	while (!is_lingering)
		sched_yield();
	pthread_cancel(thread);
	pthread_join(thread, &result);
	return result == PTHREAD_CANCELED ? static_cast<int>(cleaned) : -1;
}

/* --- backtrace -------------------------------------------------------------------------------- */

/* Is there a frame in the 128 bytes behind this function's start? */
TARGET int sees(uintptr_t function)
{
	void *frames[32];
	int nr = backtrace(frames, 32);

	for (int i = 0; i < nr; i++)
		if (reinterpret_cast<uintptr_t>(frames[i]) - function < 128)
			return 1;
	return 0;
}

TARGET int passage(uintptr_t function)
{
	return sees(function) + number - 7;
}

TARGET int above_passage()
{
	return passage(reinterpret_cast<uintptr_t>(above_passage)) + number - 7;
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
		else if (strcmp(line, "number\n") == 0)
			printf("number %d\n", caught_number());
		else if (strcmp(line, "cancel\n") == 0)
			printf("cancel %d\n", cancelled());
		else if (strcmp(line, "depth\n") == 0)
			printf("depth %d\n", above_passage());
		else
			printf("shapes %d %d %d\n", any->area(2), twice<int>(21), caught(-5));
	}
	return 0;
}
