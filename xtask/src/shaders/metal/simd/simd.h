// Included by all that naga writes; nothing of it is used.
#pragma once
