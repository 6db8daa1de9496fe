// When backups are taken, in words and as the form has it.
import type { BackupState } from '../../lib/api/types';

export type Schedule = NonNullable<BackupState['target']>['schedule'];

export function scheduleWords(schedule: Schedule): string {
  if (schedule.every === 'hours')
    return schedule.hours === 1 ? 'Every hour' : `Every ${schedule.hours} hours`;
  if (schedule.every === 'day') return `Every day at ${String(schedule.hour).padStart(2, '0')}:00`;
  return 'Only when somebody asks';
}
