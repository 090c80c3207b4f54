// The library declares some functions of Windows as <windows.h> does, which comes before it here. As much of it as there is.
#include <windows.h>

#include <extensible/extensible.hpp>
#include <extensible/hooks.hpp>
#include <extensible/library.hpp>

void use_both(SRWLOCK& lock) { AcquireSRWLockExclusive(&lock), FlushProcessWriteBuffers(), ReleaseSRWLockExclusive(&lock); }
