// As header_before.cpp, the other way round.
#include <extensible/extensible.hpp>
#include <extensible/hooks.hpp>
#include <extensible/library.hpp>

#include <windows.h>

void use_both_too(SRWLOCK& lock) { AcquireSRWLockExclusive(&lock), FlushProcessWriteBuffers(), ReleaseSRWLockExclusive(&lock); }
