// A program that includes the library with -I, and not with -isystem. Whatever warnings the program
// enables, none is about the library's code, even if the program's global variables have the names
// of local variables of the library.

int all, args, at, before, begin, called, candidates, change, count, each, edge, end, entry, event, function, given,
    group, handler, held, hook, hooks, id, ids, input, inside, item, key, last, left, list, made, moved, name, names,
    next, node, number, object, operations, options, order, other, owner, parameters, part, pattern, phase, place,
    plugin, position, problem, proceed, record, registry, result, run, running, scope, self, signature, site, sites,
    size, slot, source, step, target, text, thread, thrown, turn, type, types, until, value, values, view, wrapped,
    wrapper, written;

#include <extensible/extensible.hpp>
#include <extensible/hooks.hpp>
#include <extensible/library.hpp>

#pragma GCC diagnostic ignored "-Wshadow"  // the rest of the program has such names too
#include "../lookup/main.cpp"
