/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What test_klp_shadow_vars does: two variables for each of three objects. Needs SHADOW(call), the name of a
 * call, and SAY(format, ...), which writes an event.
 */
#define NR_OBJECTS 3

static int shadow_objects[NR_OBJECTS];
static int nr_constructed, nr_destroyed;

static int construct(void *obj, void *shadow, void *arg)
{
	nr_constructed++;
	*(int *)shadow = *(int *)arg;
	return 0;
}

static int refuse(void *obj, void *shadow, void *arg)
{
	return -1;
}

static void destroy(void *obj, void *shadow)
{
	nr_destroyed++;
}

static int value_of(int i, unsigned long id)
{
	int *shadow = SHADOW(get)(&shadow_objects[i], id);

	return shadow ? *shadow : -1;
}

static void say_all(const char *when)
{
	SAY("shadow: %s: %d %d %d, %d %d %d; constructed %d, destroyed %d", when, value_of(0, 1),
	    value_of(1, 1), value_of(2, 1), value_of(0, 2), value_of(1, 2), value_of(2, 2),
	    nr_constructed, nr_destroyed);
}

static void try_shadow_variables(void)
{
	int i, value;

	nr_constructed = nr_destroyed = 0;
	say_all("at first");
	for (i = 0; i < NR_OBJECTS; i++) {
		value = 10 + i;
		(void)SHADOW(alloc)(&shadow_objects[i], 1, sizeof(int), SHADOW_FLAGS construct,
				    &value);
		value = 20 + i;
		(void)SHADOW(get_or_alloc)(&shadow_objects[i], 2, sizeof(int),
					   SHADOW_FLAGS construct, &value);
	}
	say_all("allocated");
	value = 99;
	SAY("shadow: get_or_alloc of an existing one: %d",
	    *(int *)SHADOW(get_or_alloc)(&shadow_objects[1], 2, sizeof(int), SHADOW_FLAGS construct,
					 &value));
	SAY("shadow: refused by its constructor: %d",
	    SHADOW(alloc)(&shadow_objects[0], 3, sizeof(int), SHADOW_FLAGS refuse, &value) == NULL);
	for (i = 0; i < NR_OBJECTS; i++)
		SHADOW(free)(&shadow_objects[i], 1, destroy);
	SHADOW(free)(&shadow_objects[0], 1, destroy);
	say_all("id 1 freed");
	SHADOW(free_all)(2, NULL);
	say_all("all of id 2 freed");
}
