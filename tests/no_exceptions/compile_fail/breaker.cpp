// A breaker has no other way to refuse a call than to throw.
// expect-first: ext::hooks::breaker: this is compiled without exceptions
#ifndef FIXED
#include <extensible/hooks/breaker.hpp>
#endif
