/**
 * Solves a small system of linear equations by elimination, the largest of a column first.
 *
 * @param matrix - N rows of N numbers.
 * @param right - N numbers.
 * @returns `y` with `matrix y = right`.
 */
export function solved(matrix: readonly (readonly number[])[], right: readonly number[]): number[] {
  const rows = matrix.map((row, i) => [...row, right[i]!]);
  const size = rows.length;
  for (let column = 0; column < size; column++) {
    let largest = column;
    for (let i = column + 1; i < size; i++) {
      if (Math.abs(rows[i]![column]!) > Math.abs(rows[largest]![column]!)) largest = i;
    }
    [rows[column], rows[largest]] = [rows[largest]!, rows[column]!];
    const pivot = rows[column]!;
    for (const row of rows.slice(column + 1)) {
      const factor = row[column]! / pivot[column]!;
      for (let j = column; j <= size; j++) row[j] = row[j]! - factor * pivot[j]!;
    }
  }
  const solution = new Array<number>(size).fill(0);
  for (let i = size - 1; i >= 0; i--) {
    const known = solution.reduce((sum, y, j) => sum + (j > i ? rows[i]![j]! * y : 0), 0);
    solution[i] = (rows[i]![size]! - known) / rows[i]![i]!;
  }
  return solution;
}
