// SPDX-License-Identifier: LGPL-2.1-or-later
// An exception passes through what patches replace.
extern "C" int throw_it(int x);
extern "C" int throw_through(int x);
extern "C" int throw_value(int x);

extern "C" __attribute__((noipa)) int throw_it(int x)
{
	throw x + 7;
}

extern "C" __attribute__((noipa)) int throw_through(int x)
{
	return throw_it(x) + 1;
}

extern "C" __attribute__((noipa)) int throw_value(int x)
{
	try {
		return throw_through(x);
	} catch (int thrown) {
		return thrown;
	}
}
