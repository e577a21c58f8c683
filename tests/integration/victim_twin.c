/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The second static function named twin. */

int victim_twin(int x);

__attribute__((noipa, used)) static int twin(int x)
{
	return x + 200;
}

int victim_twin(int x)
{
	return twin(x);
}
