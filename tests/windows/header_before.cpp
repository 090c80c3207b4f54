// The library declares some Windows functions itself. These declarations must agree with those of
// the complete <windows.h>, which is included before the library here.
#include <windows.h>

#include <extensible/extensible.hpp>
#include <extensible/hooks.hpp>
#include <extensible/library.hpp>

void use_both(SRWLOCK& lock) {
    AcquireSRWLockExclusive(&lock), FlushProcessWriteBuffers(), ReleaseSRWLockExclusive(&lock);
}
